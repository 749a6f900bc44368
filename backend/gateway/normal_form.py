"""How long a text can become when a tokenizer first brings it into Unicode's NFKC form, without doing that.

Normalizing takes quadratic time for runs of combining marks, and anybody may send those. Taken apart completely (NFKD), each character
has the same length wherever it stands, and putting together again (NFKC) never makes longer: so the sum over the characters is a bound,
in linear time. Characters one by one in NFKC are none: `é` with a dot below is longer than `é` and the dot. Syllables of Hangul are left
out, because nothing can keep their letters apart.
"""

from functools import cache
from itertools import repeat
from unicodedata import decomposition, is_normalized, normalize

_HAVE_LONGER_FORMS = (range(0x80, 0x3400), range(0xF900, 0x20000))
_LONG_BYTES = 1024 * 1024
"""From here on the factor by which no text grows is near enough: what is that long is refused or cut by the model's context."""
_MOST_GROWTH = 11
_FEW = 24


def normalized_bytes(text: str) -> int:
    """No fewer UTF-8 bytes than `text` has, as it is and in NFKC; 11 times its bytes where it is longer than a MiB."""
    if text.isascii():
        return len(text)
    size = len(text.encode("utf-8", "surrogatepass"))
    if is_normalized("NFKD", text):  # asks without normalizing; ideographs and most scripts without accents are
        return size
    if size > _LONG_BYTES:
        return size * _MOST_GROWTH
    added = added_bytes()
    found = added.keys() & set(text)
    if len(found) <= _FEW:
        return size + sum([added[sign] * text.count(sign) for sign in found])
    return size + sum(map(added.get, text, repeat(0)))


@cache
def added_bytes() -> dict[str, int]:
    """The characters that are longer when taken apart, and by how many bytes. Made once, in some 30 ms."""
    found = {}
    for code in (code for codes in _HAVE_LONGER_FORMS for code in codes):
        sign = chr(code)
        if decomposition(sign):
            added = len(normalize("NFKD", sign).encode()) - len(sign.encode())
            if added > 0:
                found[sign] = added
    return found
