"""What every screen says at its top: whether this is the present, and what is wrong with it."""

from tui import past_words, summary
from tui.feed import Feed
from tui.tones import Pieces
from tui.widgets.banner import Banner


def status(feed: Feed) -> Pieces:
    """The right end of the first line."""
    if feed.past is not None:
        return past_words.status()
    return summary.link_status(feed.link, feed.fleet, feed.now_s())


def tell(banner: Banner, feed: Feed, instead: Pieces = ()) -> None:
    """The banner; `instead` goes before what it would say."""
    past = feed.past
    banner.set_class(past is not None, "-past")
    if instead:
        banner.tell(instead, ())
    elif past is not None:
        banner.tell(*past_words.notice(past, feed.link, feed.now_s(), feed.master_wall_ms()))
    else:
        notice = summary.notice(feed.link, feed.pause, feed.mass(), feed.now_s(), feed.wall_ms())
        banner.tell(*notice)
