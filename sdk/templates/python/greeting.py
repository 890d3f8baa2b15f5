from urllib.parse import parse_qs, urlsplit


def greeting(path_with_query: str) -> str:
    url = urlsplit(path_with_query)
    name = parse_qs(url.query).get("name", ["world"])[0]
    return f"Hello, {name}! This is Python, and you asked for {url.path}\n"
