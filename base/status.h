/* One set of outcomes for the whole program. Foreign codes (errno, CURLcode, SQLite's) are mapped
 * to these where the foreign library is called, and logged there with their own text. */
#ifndef BELFRY_BASE_STATUS_H
#define BELFRY_BASE_STATUS_H

#define MUST_CHECK __attribute__((warn_unused_result))

enum status {
    STATUS_OK = 0,
    STATUS_NO_MEMORY = -1,
    STATUS_INVALID = -2,   /* malformed input */
    STATUS_TOO_LARGE = -3, /* a configured size is exceeded */
    STATUS_NOT_FOUND = -4,
    STATUS_UNKNOWN_CHANNEL = -5, /* no such namespace */
    STATUS_DENIED = -6,          /* permission */
    STATUS_ALREADY = -7,         /* already subscribed */
    STATUS_LIMIT = -8,           /* a configured count is exceeded */
    STATUS_NOT_AVAILABLE = -9,   /* the feature is off for this channel */
    STATUS_EXPIRED = -10,        /* a token's or a connection's time is over */
    STATUS_UNRECOVERABLE = -11,  /* the stream no longer has that position */
    STATUS_OVERLOADED = -12,     /* a bounded queue is full: try again */
    STATUS_TIMEOUT = -13,
    STATUS_CANCELLED = -14,
    STATUS_CLOSED = -15,       /* the other side, or the part asked, is closing */
    STATUS_CONNECT = -16,      /* no connection could be made */
    STATUS_IO = -17,           /* a file or socket failed */
    STATUS_CORRUPT = -18,      /* stored data contradicts itself */
    STATUS_VERSION = -19,      /* a file made by a newer program */
    STATUS_UNAUTHORIZED = -20, /* a credential is missing or wrong */
    STATUS_INTERNAL = -21,
    STATUS_PENDING = -22,          /* not known yet: wait, and ask again */
    STATUS_REFUSED = -23,          /* in words of others, which come with it */
    STATUS_NO_METHOD = -24,        /* no such procedure */
    STATUS_OVER = -25,             /* what should be prolonged has ended already */
    STATUS_WRONG_FORMAT = -26,     /* good JSON, but not what its channel is for */
    STATUS_UPSTREAM_FAILED = -27,  /* what is needed from an upstream did not come */
    STATUS_UPSTREAM_TIMEOUT = -28, /* in time */
};

/* A stable lower-case name ("too_large"), for logs. */
const char *status_name(enum status status);

#endif
