# What a team would write itself in Python: a proxy that seals and opens fields with AES-256-GCM.
# proxy.py UPSTREAM_PORT FIELDS; prints its address.
import asyncio, base64, json, os, sys

from aiohttp import ClientSession, DummyCookieJar, web
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

upstream, fields = sys.argv[1], set(sys.argv[2].split(","))
cipher = AESGCM(b"a key of the bench, nothing else")


def seal(text):
    nonce = os.urandom(12)
    return base64.b64encode(nonce + cipher.encrypt(nonce, text.encode(), None)).decode()


def unseal(text):
    sealed = base64.b64decode(text)
    return cipher.decrypt(sealed[:12], sealed[12:], None).decode()


def each(text, change):
    if not text:
        return text
    record = json.loads(text)
    for name in fields & record.keys():
        record[name] = change(record[name])
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()


async def handle(request):
    body = each(await request.read(), seal)
    url = f"http://127.0.0.1:{upstream}{request.raw_path}"
    async with request.app["session"].request(request.method, url, data=body) as answer:
        text = each(await answer.read(), unseal)
        return web.Response(status=answer.status, body=text, content_type="application/json")


async def main():
    app = web.Application()
    app["session"] = ClientSession(cookie_jar=DummyCookieJar())
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print("%s:%s" % runner.addresses[0][:2], flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
