/* SPDX-License-Identifier: MIT */
/* Publications: texts byte for byte but for line ends between tokens, sizes, references. */
#include "hub/publication.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void check_str(struct str found, const char *expected)
{
    assert_int_equal(found.len, strlen(expected));
    assert_memory_equal(found.len > 0 ? found.ptr : "", expected, found.len);
}

static void texts_are_kept_byte_for_byte(void **state)
{
    (void)state;
    static const char data[] =
        "{\"n\": 1.10,\t\"big\":12345678901234567890,\"t\":\"\\n\\u000a \xf0\x9f"
        "\x94\x94\"}";
    struct publication *p =
        publication_create(str_of(data), STR("{\"user\":\"u\"}"), STR("{\"k\":\"v\"}"));
    assert_non_null(p);
    check_str(p->data, data);
    check_str(p->info, "{\"user\":\"u\"}");
    check_str(p->tags, "{\"k\":\"v\"}");
    assert_int_equal(p->offset, 0);
    publication_unref(p);
}

static void line_ends_between_tokens_go(void **state)
{
    (void)state;
    struct publication *p = publication_create(STR("\r\n{\n  \"a\" :\r\n [1,\n2]\n}\r\n"),
                                               STR("{\n}"), STR("{\"k\":\r\"v\"}"));
    assert_non_null(p);
    check_str(p->data, "{  \"a\" : [1,2]}");
    check_str(p->info, "{}");
    check_str(p->tags, "{\"k\":\"v\"}");
    publication_unref(p);
}

static void absent_texts_stay_empty(void **state)
{
    (void)state;
    struct publication *p = publication_create(STR("0"), STR_EMPTY, STR_EMPTY);
    assert_non_null(p);
    check_str(p->data, "0");
    assert_int_equal(p->info.len, 0);
    assert_int_equal(p->tags.len, 0);
    publication_unref(p);
}

static void the_texts_are_copies(void **state)
{
    (void)state;
    char data[] = "[1]";
    struct publication *p = publication_create(str_of(data), STR_EMPTY, STR_EMPTY);
    assert_non_null(p);
    data[1] = '2';
    check_str(p->data, "[1]");
    publication_unref(p);
}

static void the_size_grows_with_the_texts(void **state)
{
    (void)state;
    struct publication *small = publication_create(STR("1"), STR_EMPTY, STR_EMPTY);
    struct publication *large = publication_create(STR("12345"), STR("{}"), STR("{ }"));
    assert_non_null(small);
    assert_non_null(large);
    assert_true(publication_size(small) > sizeof(struct publication));
    assert_int_equal(publication_size(large), publication_size(small) + 9);
    publication_unref(small);
    publication_unref(large);
}

static void references_are_counted(void **state)
{
    (void)state;
    struct publication *p = publication_create(STR("1"), STR_EMPTY, STR_EMPTY);
    assert_non_null(p);
    assert_ptr_equal(publication_ref(p), p);
    publication_unref(p);
    check_str(p->data, "1");
    publication_unref(p);
    publication_unref(NULL);
}

static void what_was_read_back(void **state)
{
    (void)state;
    const struct storage_item item = {.offset = 7,
                                      .data = STR("1.10"),
                                      .info = STR("{\"user\":\"u\"}"),
                                      .tags = STR("{\"a\":\"b\"}"),
                                      .delta = true};
    struct publication *p = publication_of_item(&item);
    assert_non_null(p);
    assert_int_equal(p->offset, 7);
    assert_true(p->delta);
    check_str(p->data, "1.10");
    check_str(p->info, "{\"user\":\"u\"}");
    check_str(p->tags, "{\"a\":\"b\"}");
    publication_unref(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_kept_byte_for_byte),
        cmocka_unit_test(line_ends_between_tokens_go),
        cmocka_unit_test(absent_texts_stay_empty),
        cmocka_unit_test(the_texts_are_copies),
        cmocka_unit_test(the_size_grows_with_the_texts),
        cmocka_unit_test(references_are_counted),
        cmocka_unit_test(what_was_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
