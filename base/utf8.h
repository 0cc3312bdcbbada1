/* UTF-8 validation (RFC 3629) over text that arrives in pieces. */
#ifndef BELFRY_BASE_UTF8_H
#define BELFRY_BASE_UTF8_H

#include "base/str.h"

/* Is s well-formed UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF? */
bool utf8_valid(struct str s);

#endif
