/* SPDX-License-Identifier: MIT */
/* The answer of a hub, and behind the first 0 byte its figures: read, compared with themselves, and
 * written as lines. Whatever they are, only printable letters come out of it. */
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <stdlib.h>

#include "tools/top_once.h"
#include "tools/top_page.h"

static void read_sample(struct top_sample *sample, struct str input, int64_t time_us)
{
    ptrdiff_t end = str_find(input, '\0');
    struct str answer = end < 0 ? input : str_head(input, (size_t)end);
    struct str figures = end < 0 ? STR_EMPTY : str_tail(input, (size_t)end + 1);
    top_sample_init(sample, time_us);
    (void)!top_sample_read_answer(sample, answer);
    (void)!top_sample_read_figures(sample, figures);
}

static void require_printable(struct str text, bool may_end_lines)
{
    for (size_t i = 0; i < text.len; i++) {
        bool is_good = text.ptr[i] >= 0x20 && text.ptr[i] < 0x7f;
        if (!is_good && !(may_end_lines && text.ptr[i] == '\n')) {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = {(const char *)data, size};
    struct top_sample before;
    struct top_sample now;
    struct top_page page;
    struct buf once;
    read_sample(&before, input, 1000000);
    read_sample(&now, input, 2000000);
    top_sample_compare(&now, &before);
    top_page_init(&page);
    for (enum top_order order = 0; order < TOP_N_ORDERS; order++) {
        const struct top_wish wish = {
            .url = "u", .order = order, .width = size % 200, .figures_why = "w", .age_s = NAN};
        if (top_page_write(&page, &now, &wish) != STATUS_OK) {
            abort();
        }
        require_printable(buf_str(&page.text), false);
    }
    buf_init(&once, (size_t)64 << 20);
    top_once_write(&once, &now);
    require_printable(buf_str(&once), true);
    buf_release(&once);
    top_page_release(&page);
    top_sample_release(&before);
    top_sample_release(&now);
    return 0;
}
