"""What a person looks at: contact sheets, and a page of HTML that opens from disk."""
