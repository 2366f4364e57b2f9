"""Finding: what is said where a search finds nothing: what was looked for, and what to try."""

from __future__ import annotations

from collections.abc import Iterator

from postledger.arguments import shown
from postledger.cli.common import remark
from postledger.projections.queries import Query
from postledger.state.search import LEAST_DIGITS, Search, search_of

_FEW_LETTERS = 6
_MOST_WORDS = 5


def remark_not_found(count: int, query: Query, *, narrowed: bool) -> None:
    """Say how the text of a search was read, where nothing was found, and one thing to try.

    ``narrowed`` says that more was asked for than the search.
    """
    if count or query.search is None or query.limit == 0:
        return
    search = search_of(query.search)
    read = "; ".join(_read(search))
    remark(f"nothing found for {shown(search.text)}. Looked for as {read}.")
    remark(f"Try {_try(search, narrowed=narrowed)}.")


def _read(search: Search) -> Iterator[str]:
    """How a text was read, in words."""
    if search.keys:
        yield "the beginning of a tracking id, a whole MMSID, a whole label"
    else:
        yield "half a character (a lone surrogate), which no text has"
    for number in search.numbers:
        yield f"a recipient that ends in {shown(number)[1:-1]}"
    if search.digits:
        yield f"no recipient: {search.digits} is fewer than {LEAST_DIGITS} digits"
    if search.words and len(search.words) <= _MOST_WORDS:
        yield f"words of a reason: {', '.join(sorted(shown(one)[1:-1] for one in search.words))}"
    elif search.words:
        yield f"{len(search.words)} words of a reason"


def _try(search: Search, *, narrowed: bool) -> str:
    if narrowed:
        return "the same without the other options"
    if search.digits:
        return f"at least {LEAST_DIGITS} of the last digits of the number"
    longest = max(search.numbers, key=len, default="")
    if len(longest) > LEAST_DIGITS:
        return f"its last digits: --search {longest[-LEAST_DIGITS:]}"
    if len(search.words) > 1:
        word = max(search.words, key=lambda one: (len(one), one))
        return f"one word of it: --search {shown(word)[1:-1]}"
    if len(search.text) > _FEW_LETTERS and search.text.isalnum():
        return f"the beginning of the id: --search {search.text[:_FEW_LETTERS]}"
    return "another part of the recipient, the id or the reason; without --search all are listed"
