/* SPDX-License-Identifier: MIT */
/* Unit pattern wraps PCRE2's 8-bit library: the only place that knows it. The interpreter is used
 * and not the compiler to machine code, which counts steps by other measures and asks for memory
 * that is writable and executable. */
#include "base/pattern.h"

#include <stdio.h>
#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/log.h"

/* PCRE2 counts the steps anew at every place where the search starts, so the places share a budget:
 * some milliseconds in all. What is not made to explode takes a few steps for each byte. */
#define SEARCH_STEPS    1000000
#define PLACE_STEPS_MAX 100000
#define PLACE_STEPS_MIN 1000
#define MATCH_DEPTH_MAX 20000
#define MATCH_HEAP_KB   4096
#define PATTERN_MAX     8192

/* DOLLAR_ENDONLY: otherwise "admin\n" would match ^admin$. */
#define COMPILE_OPTIONS                                                                            \
    (PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C)

struct pattern {
    pcre2_code *code;
    pcre2_match_context *limits;
    pcre2_match_data *match; /* no group's place is asked for */
    bool is_anchored;        /* all its branches begin with ^: one place to start */
};

static pcre2_code *compile(struct str text, int *ret_code, PCRE2_SIZE *ret_offset)
{
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (!context) {
        *ret_code = PCRE2_ERROR_NOMEMORY;
        return NULL;
    }
    (void)pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    (void)pcre2_set_max_pattern_length(context, PATTERN_MAX);
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)(text.len > 0 ? text.ptr : ""), text.len,
                                     COMPILE_OPTIONS, ret_code, ret_offset, context);
    pcre2_compile_context_free(context);
    return code;
}

static enum status fail_compile(int code, size_t offset, struct pattern_error *ret_error)
{
    if (code == PCRE2_ERROR_NOMEMORY || code == PCRE2_ERROR_HEAP_FAILED) {
        return STATUS_NO_MEMORY;
    }
    if (ret_error) {
        PCRE2_UCHAR words[sizeof(ret_error->words)] = "";
        (void)pcre2_get_error_message(code, words, sizeof(words));
        ret_error->offset = offset;
        (void)snprintf(ret_error->words, sizeof(ret_error->words), "%s", (const char *)words);
    }
    return STATUS_INVALID;
}

enum status pattern_create(struct str text, struct pattern **ret_pattern,
                           struct pattern_error *ret_error)
{
    int code = 0;
    PCRE2_SIZE offset = 0;
    struct pattern *pattern = calloc(1, sizeof(*pattern));
    if (!pattern) {
        return STATUS_NO_MEMORY;
    }
    pattern->code = compile(text, &code, &offset);
    if (!pattern->code) {
        pattern_destroy(pattern);
        return fail_compile(code, offset, ret_error);
    }
    pattern->limits = pcre2_match_context_create(NULL);
    pattern->match = pcre2_match_data_create(1, NULL);
    if (!pattern->limits || !pattern->match) {
        pattern_destroy(pattern);
        return STATUS_NO_MEMORY;
    }
    uint32_t options = 0;
    (void)pcre2_pattern_info(pattern->code, PCRE2_INFO_ALLOPTIONS, &options);
    pattern->is_anchored = options & PCRE2_ANCHORED;
    (void)pcre2_set_depth_limit(pattern->limits, MATCH_DEPTH_MAX);
    (void)pcre2_set_heap_limit(pattern->limits, MATCH_HEAP_KB);
    *ret_pattern = pattern;
    return STATUS_OK;
}

void pattern_destroy(struct pattern *pattern)
{
    if (!pattern) {
        return;
    }
    pcre2_match_data_free(pattern->match);
    pcre2_match_context_free(pattern->limits);
    pcre2_code_free(pattern->code);
    free(pattern);
}

/* Warns although this floor is low: nobody above can tell a search given up from one that found
 * nothing, and the pattern is the operator's to mend. */
static void say_given_up(int code, size_t len)
{
    static struct log_limit limit;
    PCRE2_UCHAR words[120] = "the text is too long";
    if (code != 0) {
        (void)pcre2_get_error_message(code, words, sizeof(words));
    }
    if (log_permits(&limit)) {
        log_warn("pattern", "search_given_up", log_s("error", (const char *)words),
                 log_i("text_bytes", (int64_t)len), log_i("left_out", limit.n_left_out));
    }
}

static uint32_t steps_at_a_place(const struct pattern *pattern, size_t len)
{
    size_t steps = SEARCH_STEPS / (pattern->is_anchored ? 1 : len + 1);
    return (uint32_t)(steps > PLACE_STEPS_MAX   ? PLACE_STEPS_MAX
                      : steps < PLACE_STEPS_MIN ? PLACE_STEPS_MIN
                                                : steps);
}

bool pattern_matches(const struct pattern *pattern, struct str text)
{
    if (text.len > PATTERN_TEXT_MAX) {
        say_given_up(0, text.len);
        return false;
    }
    (void)pcre2_set_match_limit(pattern->limits, steps_at_a_place(pattern, text.len));
    int code = pcre2_match(pattern->code, (PCRE2_SPTR)(text.len > 0 ? text.ptr : ""), text.len, 0,
                           0, pattern->match, pattern->limits);
    if (code < 0 && code != PCRE2_ERROR_NOMATCH) {
        say_given_up(code, text.len);
    }
    return code >= 0;
}
