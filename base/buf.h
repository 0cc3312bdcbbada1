/* A growable byte buffer with a maximum. A failed append leaves the content as it was and marks the
 * buffer failed; a caller may append many times and look at buf_failed() once at the end. */
#ifndef BELFRY_BASE_BUF_H
#define BELFRY_BASE_BUF_H

#include "base/status.h"
#include "base/str.h"

struct buf {
    char *ptr;
    size_t len;
    size_t capacity;
    size_t max;
    bool failed;
};

/* No allocation. max: the most bytes it may ever hold. */
void buf_init(struct buf *b, size_t max_bytes);
/* Frees the content; the buffer is as after buf_init. */
void buf_release(struct buf *b);
/* Empties it and forgets a failure, keeps the memory. */
void buf_clear(struct buf *b);

/* STATUS_TOO_LARGE beyond the maximum, STATUS_NO_MEMORY. */
enum status buf_reserve(struct buf *b, size_t more_bytes);
void buf_append(struct buf *b, struct str s);
void buf_append_char(struct buf *b, char c);
void buf_append_u64(struct buf *b, uint64_t number);
void buf_append_i64(struct buf *b, int64_t number);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Removes n bytes at the front. */
void buf_consume(struct buf *b, size_t n);

#define buf_literal(b, literal) buf_append((b), STR(literal))

static inline bool buf_failed(const struct buf *b)
{
    return b->failed;
}

static inline struct str buf_str(const struct buf *b)
{
    return (struct str){b->ptr, b->len};
}

/* Hands the memory to the caller (to be freed with free()), NUL-terminated; NULL when failed. */
char *buf_take(struct buf *b);

#endif
