"""Texts that are no facility's id, by what is wrong with them."""

BAD_IDS = {
    "empty": "",
    "10-KB": "x" * 10_000,
    "nul": "a\0b",
    "newline": "a\nb",
    "dots": "../patients/7",
    "just-dots": "..",
    "url": "https://evil.example/steal",
    "dots-inside": "a/../b",
    "dots-backslash": "a\\..\\b",
    "script": "javascript:alert(1)",
    "script-in-capitals": "JavaScript:alert(1)",
    "data": "data:text/html,hello",
    "file": "file:///etc/passwd",
    "other-scheme": "ftp://evil.example/fhir",
    "slashless": "https:evil.example",
    "path": "/fhir/r4",
    "no-scheme": "//evil.example/fhir",
    "userinfo": "https://user@fhir.example/r4",
    "query": "https://fhir.example/r4?x=1",
}
