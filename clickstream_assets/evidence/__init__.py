"""What the stores hold: counted, added up, drawn, and explained down to the message.

It writes nothing. Which finding fails, warns or holds back an hour is in ``checks``.
"""
