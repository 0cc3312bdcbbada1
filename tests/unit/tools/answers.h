/* What hubs have answered, for the tests of the terminal view. */
#ifndef BELFRY_TESTS_UNIT_TOOLS_ANSWERS_H
#define BELFRY_TESTS_UNIT_TOOLS_ANSWERS_H

#include "base/str.h"

#define INFO(uptime, cpu)                                                                          \
    "{\"info\":{\"nodes\":[{\"uid\":\"0b6dafe3-48d0-460d-b77b-f1ec0046ffef\",\"name\":\"belfry\"," \
    "\"version\":\"0.1.0\",\"num_clients\":12,\"num_users\":3,\"num_subs\":40,"                    \
    "\"num_channels\":7,\"uptime\":" uptime ",\"process\":{\"cpu\":" cpu ",\"rss\":15224832}}]}}"

/* percentiles: numbers, or null */
#define UPSTREAM(name, breaker, calls, ok, timeout, p50, p99)                                      \
    "{\"name\":\"" name "\",\"breaker\":\"" breaker "\",\"breaker_opened\":2,\"calls\":" calls     \
    ",\"outcomes\":{\"ok\":" ok ",\"not_modified\":1,\"timeout\":" timeout                         \
    ",\"http_error\":0,\"dns_error\":0,\"connect_error\":0,\"tls_error\":0,\"too_large\":0,"       \
    "\"refused\":0,\"overloaded\":0,\"rate_limited\":0,\"breaker_open\":0},\"attempts\":9,"        \
    "\"retries\":1,\"hedges\":0,\"hedges_won\":0,\"budget_spent\":0,\"active\":1,\"waiting\":0,"   \
    "\"p50_ms\":" p50 ",\"p90_ms\":" p99 ",\"p99_ms\":" p99 "}"

#define FEED(name, refreshes, upstreams)                                                           \
    "{\"name\":\"" name "\",\"channel\":\"live:{n}\",\"params\":{\"n\":\"[0-9]+\"},"               \
    "\"upstreams\":[" upstreams "],\"state\":{\"running\":1,\"refreshes\":" refreshes              \
    ",\"shared\":4,\"changed\":5,\"incomplete\":2,\"failed\":3,\"scheduled\":6,"                   \
    "\"not_modified\":1,\"watched\":2,\"last_time\":1795439279673,\"last_duration_ms\":72.162}}"

#define REPLIES(info, feeds) STR("{\"replies\":[" info ",{\"feeds\":{\"feeds\":[" feeds "]}}]}")

#define FIRST                                                                                      \
    REPLIES(                                                                                       \
        INFO("62", "1.50"),                                                                        \
        FEED("city", "10",                                                                         \
             UPSTREAM("weather", "closed", "10", "8", "1", "11.2", "20.5") "," UPSTREAM(           \
                 "air", "half_open", "4", "3", "0", "40.25",                                       \
                 "90.125")) "," FEED("other", "0",                                                 \
                                     UPSTREAM("events", "open", "0", "0", "0", "null", "null")))

/* Two seconds later, as the tests have it; the order of feeds is another one, and one is new. */
#define SECOND                                                                                     \
    REPLIES(                                                                                       \
        INFO("64", "1.60"),                                                                        \
        FEED("new", "9", "") "," FEED(                                                             \
            "other", "1",                                                                          \
            UPSTREAM("events", "open", "0", "0", "0", "null",                                      \
                     "null")) "," FEED("city", "14",                                               \
                                       UPSTREAM("weather", "closed", "14", "10", "3", "11.2",      \
                                                "20.5") "," UPSTREAM("air", "closed", "8", "7",    \
                                                                     "0", "40.25", "90.125")))

#define HISTOGRAM(name, a, b, c)                                                                   \
    name "_bucket{le=\"1e-05\"} " a "\n" name "_bucket{le=\"0.001\"} " b "\n" name                 \
         "_bucket{le=\"+Inf\"} " c "\n" name "_sum 0.5\n" name "_count " c "\n"

#define FIGURES(publications, received_a, received_b, lag_a, lag_b, lag_c)                         \
    STR("# HELP belfry_node_build The version of the program.\n"                                   \
        "# TYPE belfry_node_build gauge\n"                                                         \
        "belfry_node_build{version=\"0.1.0\"} 1\n"                                                 \
        "belfry_node_messages_sent_count{type=\"publication\"} 100\n"                              \
        "belfry_node_messages_sent_count{type=\"join\"} 20\n"                                      \
        "belfry_publications_total " publications "\n"                                             \
        "belfry_slow_consumers_total 1\n"                                                          \
        "belfry_storage_queue_bytes 4096\n"                                                        \
        "belfry_storage_queue_max_bytes 67108864\n"                                                \
        "belfry_storage_queue_length 2\n"                                                          \
        "belfry_storage_groups_total 7\n" HISTOGRAM("belfry_loop_lag_seconds", lag_a, lag_b,       \
                                                    lag_c)                                         \
            HISTOGRAM(                                                                             \
                "belfry_storage_commit_seconds", "0", "7",                                         \
                "7") "# TYPE belfry_transport_messages_received counter\n"                         \
                     "belfry_transport_messages_received{transport=\"websocket\"} " received_a     \
                     "\n"                                                                          \
                     "belfry_transport_messages_received{transport=\"odd {} \\\"} "                \
                     "9\"} " received_b "\n"                                                       \
                     "belfry_transport_messages_received_size{transport=\"websocket\"} 1e+06\n"    \
                     "belfry_transport_messages_sent_size{transport=\"websocket\"} 2000\n")

#endif
