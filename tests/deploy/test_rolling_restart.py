"""Web processes and bridges are restarted one after the other behind nginx: no tick is lost."""

import ssl
from pathlib import Path

import pytest
from redis import Redis

from tests.deploy.proxies import NAME, Nginx
from tests.rolling import (
    MANAGE,
    Market,
    Processes,
    closes_of,
    daphne_command,
    two_ports,
    uvicorn_command,
)
from tests.valkey import ValkeyProcess

BRIDGE = (*MANAGE, "bridge_prices")
CLIENTS = 30


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_rolling_restart_loses_nothing(
    redis: Redis, redis_server: ValkeyProcess, tmp_path: Path
) -> None:
    """With the file of deploy/nginx: one web process is uvicorn, one Daphne; then both bridges."""
    ports = two_ports()
    commands = {"web 1": uvicorn_command(ports[0]), "web 2": daphne_command(ports[1])}
    processes = Processes({"QUOTES_DRAIN_S": "1", "LOG_LEVEL": "INFO"})
    try:
        with Nginx(tmp_path, ports) as proxy:
            for name in commands:
                processes.start(name, commands[name])
            processes.start("bridge 1", BRIDGE)
            await processes.until_said("bridge 1", "bridging")
            processes.start("bridge 2", BRIDGE)
            await processes.until_said("bridge 2", "standing by")
            for name, port in zip(commands, ports, strict=True):
                await processes.until_up(name, port)
            url = f"wss://{NAME}:{proxy.port}/live-price"
            tls = ssl.create_default_context(cafile=proxy.certificate)
            async with Market(redis_server, [url], clients=CLIENTS, tls=tls) as market:
                for name, port in zip(commands, ports, strict=True):
                    await processes.stop(name)
                    await market.until_all_hear()
                    processes.start(name, commands[name])
                    await processes.until_up(name, port)
                for name, other in (("bridge 1", "bridge 2"), ("bridge 2", "bridge 1")):
                    await processes.stop(name)
                    await processes.until_said(other, "bridging")
                    await market.until_all_hear()
                    if name == "bridge 1":
                        processes.start(name, BRIDGE)
                        await processes.until_said(name, "standing by")
                events = await market.finish()
                market.check(events)
            codes = closes_of(events)
            assert set(codes) == {1012} and len(codes) >= CLIENTS, codes
    finally:
        processes.close()
