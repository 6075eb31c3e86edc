"""Makes texts from runs harmless in each format: prompts, names and errors may say anything."""


def visible(text: str) -> str:
    """Writes what does not print as an escape: control characters, line breaks, turned text.

    Besides, what is left is allowed in XML, and no terminal takes it for a command.
    """
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def markdown(text: str) -> str:
    """Writes a text so that Markdown shows it as it is.

    It stands in a code element, in which a forge looks for neither names, links nor issues, and
    all but letters and digits are numbered entities, which are never taken for markup.
    """
    shown = (each if each.isalnum() or each == " " else f"&#{ord(each)};" for each in visible(text))
    return f"<code>{''.join(shown)}</code>"
