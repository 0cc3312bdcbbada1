/* SPDX-License-Identifier: MIT */
/* Bodies that are said to be compressed: the first byte says how much they may come to, the second
 * how large the pieces are in which the rest comes. There is never more than that, and the pieces
 * make no difference, also in a state that was used before. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "upstreams/inflater.h"

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct reading {
    enum inflated last;
    bool is_complete;
    struct buf body;
};

static struct reading read_in_pieces(struct inflaters *all, struct str bytes, size_t n, size_t max)
{
    struct reading r = {.last = INFLATED};
    struct inflater *inflater = inflater_take(all);
    buf_init(&r.body, max);
    REQUIRE(inflater);
    while (r.last == INFLATED && bytes.len > 0) {
        r.last = inflater_run(inflater, str_head(bytes, n), &r.body);
        bytes = str_tail(bytes, n);
        REQUIRE(r.body.len <= max);
    }
    r.is_complete = inflater_is_complete(inflater);
    inflater_give(all, inflater);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct inflaters all = {.free = NULL};
    if (size < 2) {
        return 0;
    }
    struct str bytes = {(const char *)data + 2, size - 2};
    size_t max = (size_t)data[0] * 1024;
    struct reading whole = read_in_pieces(&all, bytes, bytes.len, max);
    struct reading cut = read_in_pieces(&all, bytes, (size_t)data[1] + 1, max);
    REQUIRE(all.n_free == 1);
    REQUIRE(whole.last == cut.last);
    if (whole.last == INFLATED) {
        REQUIRE(whole.is_complete == cut.is_complete);
        REQUIRE(str_eq(buf_str(&whole.body), buf_str(&cut.body)));
    }
    buf_release(&whole.body);
    buf_release(&cut.body);
    inflaters_release(&all);
    return 0;
}
