"""Addresses and user agents."""

from clickstream_assets_tests.hard_cases.book import (
    BINGBOT,
    BRITISH,
    DROP,
    FRENCH,
    FRENCH_6,
    GERMAN,
    GERMAN_6,
    GOOGLEBOT,
    SITE,
    Book,
)


def addresses(book: Book) -> None:
    mapped = "::ffff:84.160.1.1"
    addresses: dict[str, str] = {
        "German": GERMAN,
        "British": BRITISH,
        "French": FRENCH,
        "IPv6": GERMAN_6,
        "IPv6 in capitals": FRENCH_6.upper(),
        "IPv6 in full": "2a01:cb00:0000:0000:0000:0000:0000:0001",
        "mapped": mapped,
        "mapped in hex": "::ffff:54a0:101",
        "mapped in brackets with a port": f"[{mapped}]:443",
        "mapped private": "::ffff:10.0.0.1",
        "mapped private behind a client": f"{FRENCH}, ::ffff:192.168.0.1",
        "IPv4 with a port": f"{BRITISH}:51234",
        "IPv6 with a port": f"[{FRENCH_6}]:51234",
        "IPv6 in brackets": f"[{FRENCH_6}]",
        "IPv4 in brackets": f"[{FRENCH}]:80",
        "white space": f"  {FRENCH}\t",
        "list": f"{BRITISH}, {FRENCH}",
        "list without spaces": f"{BRITISH},{FRENCH}",
        "client and proxies": f"{FRENCH}, 10.0.0.1, 172.31.255.255, 192.168.1.1, 127.0.0.1, 169.254.1.1, 100.127.0.1",
        "client and IPv6 proxies": f"{FRENCH_6}, fe80::1, fd12:3456::1, ::1",
        "spoofed in front": f"8.8.8.8, {FRENCH}, 10.1.1.1",
        "private in front": f"192.168.1.7, {FRENCH}",
        "ports in a list": f"{FRENCH}:1234, 10.0.0.1:80, [::1]:443",
        "garbage behind": f"{FRENCH}, unknown, -, _hidden, 999.1.1.1, 1.2.3, 1.2.3.4.5",
        "garbage in front": f"unknown, {FRENCH}",
        "empty places": f", ,{FRENCH},, ,",
        "leading zeros are no address": f"{FRENCH}, 086.140.001.001",
        "a number is no address": f"{FRENCH}, 1418461441",
        "hex is no address": f"{FRENCH}, 0x56.0x8c.1.1",
        "a network is no address": f"{FRENCH}, 86.140.0.0/16",
        "forwarded syntax": f"{FRENCH}, for={BRITISH}",
        "300 proxies": f"{FRENCH}, " + ", ".join(f"10.0.{number % 256}.1" for number in range(300)),
        "edge below 172.16/12": "172.15.255.255",
        "edge above 172.16/12": f"{FRENCH}, 172.32.0.1",
        "edge below 100.64/10": f"{FRENCH}, 100.63.255.255",
        "edge above 100.64/10": f"{FRENCH}, 100.128.0.1",
        "edge above 169.254/16": f"{FRENCH}, 169.255.0.1",
        "edge below 10/8": f"{FRENCH}, 9.255.255.255",
        "edge above 10/8": f"{FRENCH}, 11.0.0.1",
        "6to4": "2002:54a0:0101::1",
        "private": "10.1.2.3",
        "all private": "10.1.2.3, 192.168.0.1, ::1",
        "loopback": "::1",
        "unspecified": "0.0.0.0",
        "unspecified IPv6": "::",
        "broadcast": "255.255.255.255",
        "multicast": "224.0.0.1",
        "documentation": "192.0.2.1",
        "unknown IPv6": "2001:db8::1",
        "words": "unknown",
        "only white space": "  ",
        "only commas": ",,",
        "a host name": "proxy.example.com",
        "digits of another script": "\uff18\uff14.160.1.1",
    }
    for name, value in addresses.items():
        book.add(f"ip: {name}", ip=value, url=f"{SITE}/ip")


def agents(book: Book) -> None:
    agents: dict[str, object] = {
        "Googlebot": GOOGLEBOT,
        "bingbot": BINGBOT,
        "AhrefsBot": "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
        "Googlebot on a phone": "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, "
        "like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "curl": "curl/8.5.0",
        "python": "python-requests/2.32.3",
        "iPhone": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "Version/18.6 Mobile/15E148 Safari/604.1",
        "missing": DROP,
        "null": None,
        "empty": "",
        "white space": "   ",
        "10 kB": "Mozilla/5.0 " + "x" * 10_000,
        "10 kB of brackets": "Mozilla/5.0 " + "(" * 10_000,
        "10 kB of Android": "Mozilla/5.0 (Linux; Android 10; " * 300,
        "unicode": "Möwe/1.0 (北京; 😀)",
        "control characters": "Mozilla/5.0\x01\x02\r\n(Windows NT 10.0)",
        "percent-encoded": "Mozilla%2F5.0%20(Windows%20NT%2010.0)",
    }
    for name, value in agents.items():
        book.add(f"agent: {name}", user_agent=value, url=f"{SITE}/agent")
