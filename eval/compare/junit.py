"""Writes a comparison as JUnit XML, which CI systems show as tests: a test for each metric."""

from xml.etree import ElementTree as ET

from eval.compare.comparison import Comparison
from eval.compare.escape import visible
from eval.compare.verdict import Verdict, title
from eval.compare.words import HEAD, cells, facts, named, notes, prompt_text, said


def junit(comparison: Comparison) -> str:
    """What fails the gate is a failure; what is undecided and passes is skipped."""
    failing = [each for each in comparison.findings if comparison.fails(each)]
    skipped = [
        each
        for each in comparison.findings
        if each.verdict is Verdict.UNDECIDED and not comparison.fails(each)
    ]
    counts = {
        "tests": str(len(comparison.findings)),
        "failures": str(len(failing)),
        "errors": "0",
        "skipped": str(len(skipped)),
    }
    root = ET.Element("testsuites", {"name": "mora compare", **counts})
    suite = ET.SubElement(root, "testsuite", {"name": "mora compare", **counts})
    properties = ET.SubElement(suite, "properties")
    for name, value in (
        ("base", named(comparison.base)),
        ("candidate", named(comparison.candidate)),
        ("compared", facts(comparison)),
    ):
        ET.SubElement(properties, "property", {"name": name, "value": visible(value)})
    for finding in comparison.findings:
        case = ET.SubElement(
            suite,
            "testcase",
            {"classname": "mora.compare", "name": title(finding.metric), "time": "0"},
        )
        words = said(finding, comparison.test.power)
        numbers = ", ".join(
            f"{name} {cell}" for name, cell in zip(HEAD[1:], cells(finding)[1:], strict=True)
        )
        if comparison.fails(finding):
            message = {"message": visible(f"{words}: {numbers}"), "type": finding.verdict.value}
            failure = ET.SubElement(case, "failure", message)
            failure.text = "\n".join(
                f"{each.base:.4f} -> {each.candidate:.4f} {visible(prompt_text(each.prompt))}"
                for each in finding.losses
            )
        elif finding.verdict is Verdict.UNDECIDED:
            ET.SubElement(case, "skipped", {"message": visible(f"{words}: {numbers}")})
        else:
            ET.SubElement(case, "system-out").text = visible(f"{words}: {numbers}")
    ET.SubElement(suite, "system-out").text = "\n".join(
        map(visible, (*notes(comparison), *comparison.paired.notes))
    )
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"
