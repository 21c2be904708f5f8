import aiohttp
import pytest

from kybern.process.daemon import OperatorError
from kybern.process.health import respond, serve_health


async def test_says_which_check_failed():
    async def slow():
        return "not synced"

    checks = {"fine": lambda: None, "informers": slow}
    status, _, body = await respond("/readyz", checks)
    assert status == 500
    assert body == b"[+]ping ok\n[+]fine ok\n[-]informers failed: not synced\nreadyz check failed\n"
    assert await respond("/healthz/fine", checks) == (200, "text/plain; charset=utf-8", b"ok")
    assert (await respond("/nope", checks))[0] == 404
    assert b"[+]ping ok\nlivez check passed\n" in (await respond("/livez?verbose", {}))[2]


async def test_listens():
    server = await serve_health("127.0.0.1", 0)
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{server.port}/healthz") as answer:
            assert await answer.text() == "ok"
        async with session.get(f"http://127.0.0.1:{server.port}/metrics") as answer:
            assert "process_cpu_seconds_total" in await answer.text()
    with pytest.raises(OperatorError, match="can't listen"):
        await serve_health("127.0.0.1", server.port)
    await server.close()
