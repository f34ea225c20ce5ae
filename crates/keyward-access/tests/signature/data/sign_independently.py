"""Signs random requests by the vendors' documented rules with nothing but the standard library.

Writes independent.json beside itself, the same on every run. Run it again only to change what it makes:
    python3 crates/keyward-access/tests/signature/data/sign_independently.py
"""

import base64
import hashlib
import hmac
import json
import pathlib
import random
from email.utils import formatdate
from urllib.parse import quote, quote_plus, unquote_to_bytes

CASES = 240
FORM = "application/x-www-form-urlencoded"
HASHES = {"HmacSHA1": "sha1", "HmacSHA256": "sha256", "HmacSHA384": "sha384", "HmacSHA512": "sha512"}
WORDS = ["a", "b", "A", "_", "id", "name", "10", "a1", "\u4e2d\u6587", "x y", "caf\u00e9", "k.v", "~"]
VALUES = ["", "1", "two", "\u5c0f \u660e", "a=b", "a&b", "100%", "a+b", "x,y", "!*'()", "line\nbreak", "\u00e9", "0", "false"]

dice = random.Random(20180509)


def pairs():
    names = dice.sample(WORDS, dice.randrange(0, 6))
    return [(name, dice.choice(VALUES)) for name in names]


def encode(parameters):
    one = dice.choice([lambda text: quote(text, safe=""), quote_plus])
    return "&".join(one(name) + ("=" + one(value) if value or dice.random() < 0.5 else "") for name, value in parameters)


def decoded(text):
    """The decoded names and values of an encoded text, as bytes; names without anything are left out."""
    found = []
    for piece in text.split("&"):
        name, _, value = piece.partition("=")
        if name:
            found.append(tuple(unquote_to_bytes(half.replace("+", " ")) for half in (name, value)))
    return found


def path_and_parameters(path, query, form):
    merged = {}
    for name, value in decoded(form) + decoded(query):
        merged.setdefault(name, value)
    joined = b"&".join(name + (b"=" + merged[name] if merged[name] else b"") for name in sorted(merged))
    return path.encode() + (b"?" + joined if joined else b"")


def digest(algorithm, secret, text):
    return base64.b64encode(hmac.new(secret.encode(), text, HASHES[algorithm]).digest()).decode()


def alibaba(request, algorithm, app_key, secret, now_ms):
    headers = request["headers"]
    lower = dice.random() < 0.5
    spell = str.lower if lower else str
    own = [("X-Ca-Key", app_key), ("X-Ca-Timestamp", str(now_ms)), ("X-Ca-Nonce", "%032x" % dice.getrandbits(128))]
    if algorithm != "HmacSHA256":
        own.append(("X-Ca-Signature-Method", algorithm))
    if dice.random() < 0.3:
        own.append(("X-Ca-Stage", dice.choice(["RELEASE", "PRE", "TEST"])))
    listed = [(spell(name), value) for name, value in own + [("X-Trace", request["trace"])]]
    dice.shuffle(listed)
    body = request["body"]
    if body and not request["form"] and dice.random() < 0.9:
        headers.append(["Content-MD5", base64.b64encode(hashlib.md5(body).digest()).decode()])
    given = {name.lower(): value for name, value in headers}
    lines = [request["method"], given.get("accept", ""), given.get("content-md5", ""), given.get("content-type", ""), given.get("date", "")]
    lines += [f"{name}:{value}" for name, value in sorted(listed, key=lambda pair: pair[0].encode())]
    target = path_and_parameters(request["path"], request["query"], body.decode() if request["form"] else "")
    text = "\n".join(lines).encode() + b"\n" + target
    headers += [[name, value] for name, value in listed]
    headers.append(["X-Ca-Signature-Headers", ",".join(name for name, _ in listed)])
    headers.append(["X-Ca-Signature", digest(algorithm, secret, text)])
    return text


def tencent(request, algorithm, app_key, secret, now_ms, whole):
    headers = request["headers"]
    own = [("X-Date", formatdate(now_ms // 1000, usegmt=True)), ("Source", "independent"), ("X-Trace", request["trace"])]
    dice.shuffle(own)
    text = "\n".join(f"{name.lower()}: {value}" for name, value in own).encode()
    body = request["body"]
    if whole:
        given = {name.lower(): value for name, value in headers}
        md5 = "" if request["form"] or not body else base64.b64encode(hashlib.md5(body).hexdigest().encode()).decode()
        if md5 and dice.random() < 0.5:
            headers.append(["Content-MD5", md5])
        lines = ["", request["method"], given.get("accept", ""), given.get("content-type", ""), md5, ""]
        target = path_and_parameters(request["path"], request["query"], body.decode() if request["form"] else "")
        text += "\n".join(lines).encode() + target
    headers += [[name, value] for name, value in own]
    name = algorithm.lower().replace("hmacsha", "hmac-sha")
    names = " ".join(name.lower() for name, _ in own)
    signature = digest(algorithm, secret, text)
    headers.append(["Authorization", f'hmac id="{app_key}", algorithm="{name}", headers="{names}", signature="{signature}"'])
    return text


def case(number):
    method = dice.choice(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
    form = method in ("POST", "PUT", "PATCH") and dice.random() < 0.5
    path = "/" + "/".join(quote(dice.choice(WORDS)) for _ in range(dice.randrange(1, 4)))
    query, headers, body = encode(pairs()), [], b""
    if dice.random() < 0.8:
        headers.append(["Accept", dice.choice(["*/*", "application/json", "application/json; charset=utf-8"])])
    if dice.random() < 0.2:
        headers.append(["Date", "Wed, 09 May 2018 13:30:29 GMT"])
    if form:
        body = encode(pairs()).encode()
        headers.append(["Content-Type", dice.choice([FORM, FORM + "; charset=UTF-8"])])
    elif method in ("POST", "PUT", "PATCH"):
        body = bytes(dice.getrandbits(8) for _ in range(dice.randrange(0, 60)))
        headers.append(["Content-Type", dice.choice(["application/json", "application/octet-stream; charset=UTF-8"])])
    request = {"method": method, "path": path, "query": query, "headers": headers, "body": body, "form": form, "trace": dice.choice(["abc", "", "a b: c"])}
    scheme = dice.choice(["alibaba", "tencent", "tencent_key_pair"])
    algorithm = dice.choice(list(HASHES))
    app_key, secret = "key-%d" % number, "".join(dice.choice("abcXYZ019!#$%~_-") for _ in range(dice.choice([8, 32, 64, 65, 200])))
    now_ms = 1525872629000
    sent_ms = now_ms + dice.randrange(-900, 901) * 1000
    if scheme == "alibaba":
        text = alibaba(request, algorithm, app_key, secret, sent_ms)
    else:
        text = tencent(request, algorithm, app_key, secret, sent_ms, scheme == "tencent")
    return {
        "scheme": scheme,
        "app_key": app_key,
        "secret": secret,
        "now_ms": now_ms,
        "method": method,
        "target": path + ("?" + query if query or dice.random() < 0.2 else ""),
        "headers": headers,
        "body_base64": base64.b64encode(body).decode(),
        "string_to_sign_base64": base64.b64encode(text).decode(),
    }


if __name__ == "__main__":
    cases = [case(number) for number in range(CASES)]
    out = pathlib.Path(__file__).with_name("independent.json")
    out.write_text("[\n" + ",\n".join(json.dumps(one) for one in cases) + "\n]\n")
