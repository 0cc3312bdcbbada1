/* SPDX-License-Identifier: MIT */
/* What the headers of GET /feeds/NAME say. */
#include "protocols/feed_pages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void accepts_events(void **state)
{
    (void)state;
    static const struct {
        const char *accept;
        bool accepts;
    } expected[] = {
        {"text/event-stream", true},
        {"Text/Event-Stream", true},
        {"text/event-stream;q=0.5", true},
        {"application/json, text/event-stream ; q=1", true},
        {" text/event-stream , */*", true},
        {"text/event-stream;q=0.001", true},
        {"text/event-stream;q=0", false},
        {"text/event-stream; q=0.000;x=1", false},
        {"", false},
        {"*/*", false},
        {"text/*", false},
        {"application/json", false},
        {"text/event-streams", false},
        {"x-text/event-stream", false},
        {"application/json;a=text/event-stream", false},
    };
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        assert_int_equal(feed_pages_accepts_events(str_of(expected[i].accept)),
                         expected[i].accepts);
    }
}

static void knows_its_etag(void **state)
{
    (void)state;
    static const struct {
        const char *if_none_match;
        bool has;
    } expected[] = {
        {"\"abc\"", true},
        {"W/\"abc\"", true},
        {"\"x\", \"abc\"", true},
        {"\"x\",W/\"abc\" ,\"y\"", true},
        {"*", true},
        {"", false},
        {"abc", false},
        {"\"ab\"", false},
        {"\"abcd\"", false},
        {"w/\"abc\"", false},
        {",,", false},
    };
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        assert_int_equal(feed_pages_has_etag(str_of(expected[i].if_none_match), STR("\"abc\"")),
                         expected[i].has);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_events),
        cmocka_unit_test(knows_its_etag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
