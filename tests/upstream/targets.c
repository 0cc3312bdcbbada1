/* SPDX-License-Identifier: MIT */
/* A bounded table by target. */
#include "tests/upstream/targets.h"

#include <stdlib.h>

#include <uthash.h>

#include "base/clock.h"

struct target {
    UT_hash_handle hh;
    int64_t n_counted;
    uint64_t body_hash;
    int64_t modified_s; /* 0: not asked for yet */
    size_t len;
    char text[];
};

struct targets {
    struct target *table;
    int64_t latest_s; /* of what was forgotten: no target gets one of these seconds again */
};

struct targets *targets_create(void)
{
    return calloc(1, sizeof(struct targets));
}

void targets_reset(struct targets *t)
{
    struct target *one;
    struct target *next;
    HASH_ITER (hh, t->table, one, next) {
        if (one->modified_s > t->latest_s) {
            t->latest_s = one->modified_s;
        }
        HASH_DEL(t->table, one);
        free(one);
    }
}

void targets_destroy(struct targets *t)
{
    if (t) {
        targets_reset(t);
        free(t);
    }
}

static struct target *find_or_add(struct targets *t, struct str text)
{
    struct target *one;
    HASH_FIND(hh, t->table, text.ptr, text.len, one);
    if (one || HASH_COUNT(t->table) == TARGETS_MAX) {
        return one;
    }
    one = calloc(1, sizeof(*one) + text.len);
    if (one) {
        one->len = text.len;
        memcpy(one->text, text.ptr, text.len);
        HASH_ADD_KEYPTR(hh, t->table, one->text, one->len, one);
    }
    return one;
}

bool targets_count(struct targets *t, struct str target, int64_t n, bool *ret_fails)
{
    struct target *one = find_or_add(t, target);
    if (!one) {
        return false;
    }
    *ret_fails = one->n_counted < n;
    one->n_counted++;
    return true;
}

bool targets_modified(struct targets *t, struct str target, uint64_t body_hash,
                      int64_t *ret_modified_s)
{
    struct target *one = find_or_add(t, target);
    if (!one) {
        return false;
    }
    if (one->modified_s == 0 || one->body_hash != body_hash) {
        int64_t after_s = one->modified_s > t->latest_s ? one->modified_s : t->latest_s;
        int64_t now_s = clock_wall_ms() / 1000;
        one->modified_s = now_s > after_s ? now_s : after_s + 1;
        one->body_hash = body_hash;
    }
    *ret_modified_s = one->modified_s;
    return true;
}
