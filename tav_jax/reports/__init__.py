"""What a person looks at: tables, plots, sheets, pages."""
