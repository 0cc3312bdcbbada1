/* UTF-8 validation (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef BELFRY_BASE_UTF8_H
#define BELFRY_BASE_UTF8_H

#include "base/str.h"

/* Is s well-formed UTF-8? */
bool utf8_valid(struct str s);

/* The length of the well-formed sequence (1 to 4 bytes) that s begins with; 0 when it begins with
 * none or is empty. */
size_t utf8_sequence(struct str s);

/* Writes the sequence of a code point (below 0x110000, no surrogate); its length. */
size_t utf8_encode(uint32_t code_point, char sequence[4]);

#endif
