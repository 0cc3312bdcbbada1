/* SPDX-License-Identifier: MIT */
/* Unit server sets up libwebsockets 4.1 and knows its traps: HTTP/2 is off (ALPN and h2c), one
 * callback mount takes all requests, its own pings are off, and the context is destroyed in two
 * steps, as a foreign libuv loop demands. */
#include "protocols/server.h"

#include <libwebsockets.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/log.h"
#include "hub/client.h"
#include "protocols/http.h"
#include "protocols/listener.h"
#include "protocols/routes.h"
#include "protocols/slots.h"
#include "protocols/tls.h"
#include "protocols/websocket.h"

/* Descriptors for everything but clients: upstreams, database, loop. */
#define RESERVED_DESCRIPTORS 512
/* Above ten million libwebsockets falls back to 2,560. */
#define MAX_DESCRIPTORS 1048576

/* Small, because every idle connection keeps it; larger messages come in pieces. */
#define RX_BUFFER_SIZE 256

/* What is read at once. A whole TLS record has room, so that OpenSSL keeps nothing back that the
 * loop would not be woken for: libwebsockets 4.1 forgets such bytes on libuv, and a large upload
 * stands still. One for all connections. */
#define READ_BUFFER_SIZE (16384 + 256)

struct server {
    const struct server_options *options;
    struct lws_context *context;
    struct lws_vhost *vhost;
    struct listener *listener;
    size_t n_connections;
    size_t n_requests; /* under way */
    size_t max_connections;
    bool is_closed;
    struct routes routes;
    struct http_options http;
    struct http_wake_up wake_up;
    struct websocket_options websockets[N_WEBSOCKET_KINDS];
    struct lws_http_mount mounts[5];
};

/* --- callbacks --- */

static struct str bytes_of(const void *in, size_t len)
{
    return (struct str){in, len};
}

static int on_http(struct server *s, struct lws *wsi, enum lws_callback_reasons reason,
                   struct slots *slots, void *in, size_t len)
{
    switch (reason) {
    case LWS_CALLBACK_FILTER_HTTP_CONNECTION:
        /* Pipelined behind a request that is under way, or that has no end. */
        return slots->request || slots->stream ? -1 : 0;
    case LWS_CALLBACK_HTTP: return http_on_request(&s->http, wsi, &slots->request);
    case LWS_CALLBACK_HTTP_BODY: return http_on_body(slots->request, bytes_of(in, len));
    case LWS_CALLBACK_HTTP_BODY_COMPLETION: return http_on_body_complete(slots->request);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return slots->request ? http_on_writeable(slots->request)
                              : stream_on_writeable(slots->stream);
    case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
    case LWS_CALLBACK_CLOSED_HTTP:
        if (slots) {
            http_on_closed(&slots->request);
            stream_on_closed(&slots->stream);
        }
        return 0;
    default: return 0;
    }
}

static int on_websocket(struct server *s, struct lws *wsi, enum lws_callback_reasons reason,
                        struct slots *slots, void *in, size_t len)
{
    switch (reason) {
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE: return websocket_on_upgrade(s->websockets, wsi);
    case LWS_CALLBACK_ESTABLISHED:
        return websocket_on_established(s->websockets, wsi, &slots->websocket);
    case LWS_CALLBACK_RECEIVE: return websocket_on_receive(slots->websocket, bytes_of(in, len));
    case LWS_CALLBACK_RECEIVE_PONG: websocket_on_pong(slots->websocket); return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE: return websocket_on_writeable(slots->websocket);
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        return websocket_on_peer_close(slots->websocket, bytes_of(in, len));
    case LWS_CALLBACK_WS_SERVER_DROP_PROTOCOL:
        if (slots) {
            websocket_on_drop(slots->websocket);
        }
        return 0;
    case LWS_CALLBACK_CLOSED:
        if (slots) {
            websocket_on_closed(&slots->websocket);
        }
        return 0;
    default: return 0;
    }
}

/* Certificate and key are loaded here, not by libwebsockets: it would rename files that end in .upd
 * over them, ask the terminal for passphrases, and allow one elliptic curve only. */
static int on_tls_context(const struct server *s, void *context)
{
    struct tls_problem problem;
    enum status status = tls_set_up(context, &s->options->http_server.tls, &problem);
    if (status != STATUS_OK) {
        log_error("server", "tls_not_set_up", log_s("key", problem.key),
                  log_s("file", problem.file), log_s("expected", problem.expected));
        return -1;
    }
    return 0;
}

static int on_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                       size_t len)
{
    struct lws_context *context = wsi ? lws_get_context(wsi) : NULL;
    struct server *s = context ? lws_context_user(context) : NULL;
    if (!s) {
        return 0;
    }
    switch (reason) {
    case LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS: return on_tls_context(s, user);
    case LWS_CALLBACK_RAW_ADOPT: /* CONNECT would become a raw connection without a timeout */
    case LWS_CALLBACK_RAW_RX: return -1;
    case LWS_CALLBACK_WSI_CREATE: s->n_connections++; return 0;
    case LWS_CALLBACK_WSI_DESTROY: s->n_connections--; return 0;
    case LWS_CALLBACK_FILTER_HTTP_CONNECTION:
    case LWS_CALLBACK_HTTP:
    case LWS_CALLBACK_HTTP_BODY:
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
    case LWS_CALLBACK_HTTP_WRITEABLE:
    case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
    case LWS_CALLBACK_CLOSED_HTTP: return on_http(s, wsi, reason, user, in, len);
    default: return on_websocket(s, wsi, reason, user, in, len);
    }
}

/* Whoever offers no subprotocol gets the first one. */
#define PROTOCOL(name_)                                                                            \
    {                                                                                              \
        .name = name_, .callback = on_callback, .per_session_data_size = sizeof(struct slots),     \
        .rx_buffer_size = RX_BUFFER_SIZE, .tx_packet_size = 65536                                  \
    }
static const struct lws_protocols protocols[] = {
    PROTOCOL("belfry"), PROTOCOL("centrifuge-json"), {.name = NULL}};

/* libwebsockets' own pings walk a sorted list; the hub has its own. */
static const lws_retry_bo_t no_validity_pings = {.secs_since_valid_ping = 0,
                                                 .secs_since_valid_hangup = 0};

/* --- setting up --- */

static void on_lws_log(int level, const char *line)
{
    struct str text = str_trim(str_of(line));
    if (text.len > 0 && text.ptr[text.len - 1] == '\n') {
        text.len--;
    }
    if (level & (LLL_ERR | LLL_WARN)) {
        log_warn("libwebsockets", "message", log_str("text", text));
    } else {
        log_debug("libwebsockets", "message", log_str("text", text));
    }
}

/* As many as the system allows, within reason. */
static size_t raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 1024;
    }
    limit.rlim_cur = limit.rlim_max < MAX_DESCRIPTORS ? limit.rlim_max : MAX_DESCRIPTORS;
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
    return (size_t)limit.rlim_cur;
}

/* libwebsockets asks both its context and its vhost. */
static uint64_t tls_flags(const struct server *s)
{
    return s->options->http_server.tls.enabled
               ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_CREATE_VHOST_SSL_CTX |
                     LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS
               : 0;
}

static enum status create_context(struct server *s, struct loop *loop)
{
    void *foreign_loops[] = {loop_uv(loop)};
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS | tls_flags(s),
        .foreign_loops = foreign_loops,
        .pcontext = &s->context,
        .user = s,
        .pt_serv_buf_size = READ_BUFFER_SIZE,
        .max_http_header_data = 8192,
        .timeout_secs = 10,
        .server_string = "belfry",
    };
    lws_set_log_level(LLL_ERR | LLL_WARN | LLL_NOTICE, on_lws_log);
    s->context = lws_create_context(&info);
    if (!s->context) {
        log_error(
            "server", "libwebsockets_not_started",
            log_s("expected", "the package libwebsockets-evlib-uv, which is loaded at run time"));
        return STATUS_IO;
    }
    return STATUS_OK;
}

/* All paths are this program's own business (routes.c); but what a mount says decides what becomes
 * of a GET request whose answer takes time. With a protocol, libwebsockets 4.1 does not read from
 * the connection until then: what is pipelined waits, and when the peer goes, the loop runs hot,
 * because that is not read either. Without one it reads on. So answers that come soon have the
 * first, those that wait for others and replies without an end the second. Of the mounts that fit,
 * the last one counts. */
static const struct lws_http_mount *set_up_mounts(struct server *s)
{
    const char *const paths[] = {"/", s->options->sse.handler_prefix,
                                 s->options->uni_sse.handler_prefix, "/feeds",
                                 s->options->url_proxy.handler_prefix};
    _Static_assert(sizeof(paths) / sizeof(paths[0]) == sizeof(s->mounts) / sizeof(s->mounts[0]),
                   "a mount for each path");
    size_t n_paths = sizeof(paths) / sizeof(paths[0]);
    for (size_t i = 0; i < n_paths; i++) {
        s->mounts[i] = (struct lws_http_mount){
            .mount_next = i + 1 < n_paths ? &s->mounts[i + 1] : NULL,
            .mountpoint = paths[i],
            .mountpoint_len = (unsigned char)strlen(paths[i]),
            .origin = protocols[0].name,
            .origin_protocol = LWSMPRO_CALLBACK,
            .protocol = i == 0 ? protocols[0].name : NULL,
        };
    }
    return s->mounts;
}

static enum status create_vhost(struct server *s)
{
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .options = tls_flags(s),
        .vhost_name = "belfry",
        .protocols = protocols,
        .mounts = set_up_mounts(s),
        .alpn = "http/1.1",
        .retry_and_idle_policy = &no_validity_pings,
        .keepalive_timeout = 60,
        .timeout_secs_ah_idle = 10,
    };
    s->vhost = lws_create_vhost(s->context, &info);
    if (!s->vhost) {
        log_error("server", "vhost_not_created");
        return STATUS_IO;
    }
    return STATUS_OK;
}

/* --- the listening socket --- */

static bool may_accept(void *arg)
{
    const struct server *s = arg;
    if (s->n_connections < s->max_connections) {
        return true;
    }
    static struct log_limit limit;
    if (log_permits(&limit)) {
        log_warn("server", "connection_refused", log_i("left_out", limit.n_left_out),
                 log_i("connections", (int64_t)s->n_connections),
                 log_s("why", "the descriptor limit"));
    }
    return false;
}

static void on_accepted(void *arg, int fd)
{
    struct server *s = arg;
    lws_sockfd_type socket = fd;
    if (!lws_adopt_socket_vhost(s->vhost, socket)) {
        /* libwebsockets has closed it: mostly a peer that does not speak TLS. */
        log_debug("server", "not_adopted");
    }
}

/* The timeouts of new connections were armed from outside libwebsockets' callbacks. */
static void on_batch(void *arg)
{
    struct server *s = arg;
    lws_cancel_service(s->context);
}

static enum status create_listener(struct server *s, struct loop *loop)
{
    struct listener_options options = {
        .loop = loop,
        .address = s->options->http_server.address,
        .port = (int)s->options->http_server.port,
        .may = may_accept,
        .accepted = on_accepted,
        .batch_done = on_batch,
        .arg = s,
    };
    return listener_create(&options, &s->listener);
}

/* Commands of a client over HTTP that wait behind one that takes time: as many bodies. */
#define WAITING_MAX_BODIES 16

static void set_up_routes(struct server *s, struct loop *loop, struct hub *hub,
                          struct storage *storage)
{
    const struct server_options *options = s->options;
    s->routes.hub = hub;
    s->routes.options = options;
    s->routes.access = (struct access){loop, hub, &options->http_api};
    s->routes.metrics =
        (struct metrics){hub, storage, loop, clock_wall_ms(), &s->routes.url_proxy.stats};
    streams_init(&s->routes.streams, hub,
                 WAITING_MAX_BODIES * (size_t)options->emulation.max_request_body_size);
    s->routes.feed_pages = (struct feed_pages){&s->routes.access, &s->routes.streams};
    s->websockets[WEBSOCKET_BOTH_WAYS] = (struct websocket_options){
        .loop = loop,
        .hub = hub,
        .is_open = !options->websocket.disabled,
        .path = options->websocket.handler_prefix,
        .message_size_limit = (size_t)options->websocket.message_size_limit,
    };
    s->websockets[WEBSOCKET_UNI] = (struct websocket_options){
        .loop = loop,
        .hub = hub,
        .is_open = options->uni_websocket.enabled,
        .path = options->uni_websocket.handler_prefix,
        .message_size_limit = (size_t)options->uni_websocket.message_size_limit,
        .is_unidirectional = true,
        .joins = options->uni_websocket.join_push_messages,
        .pushes_disconnect = !options->uni_websocket.disable_disconnect_push,
        .closes_at_once = options->uni_websocket.disable_closing_handshake,
    };
}

enum status server_create(struct loop *loop, struct deadlines *deadlines, struct hub *hub,
                          struct storage *storage, const struct server_options *options,
                          struct server **ret_server)
{
    struct server *s = calloc(1, sizeof(*s));
    if (!s) {
        return STATUS_NO_MEMORY;
    }
    s->options = options;
    size_t n_descriptors = raise_descriptor_limit();
    s->max_connections = n_descriptors > 2 * RESERVED_DESCRIPTORS
                             ? n_descriptors - RESERVED_DESCRIPTORS
                             : n_descriptors / 2;
    set_up_routes(s, loop, hub, storage);
    s->routes.url_proxy = (struct url_proxy){.loop = loop,
                                             .deadlines = deadlines,
                                             .hub = hub,
                                             .access = &s->routes.access,
                                             .options = &options->url_proxy};
    s->http = (struct http_options){
        .loop = loop,
        .deadlines = deadlines,
        .body_timeout_ms = options->http_server.body_timeout_ms,
        .route = routes_find,
        .handler = routes_handle,
        .append_client_headers = routes_append_client_headers,
        .arg = &s->routes,
        .forwarded_headers = client_wanted_headers(hub),
        .n_under_way = &s->n_requests,
        .wake_up = &s->wake_up,
    };
    *ret_server = s;
    enum status status = create_context(s, loop);
    if (status == STATUS_OK) {
        status = create_vhost(s);
    }
    if (status == STATUS_OK) {
        status = create_listener(s, loop);
    }
    return status;
}

int server_port(const struct server *s)
{
    return listener_port(s->listener);
}

void server_stop_listening(struct server *s)
{
    if (s->listener) {
        listener_stop(s->listener);
    }
}

bool server_is_idle(const struct server *s)
{
    return s->n_requests == 0;
}

size_t server_n_connections(const struct server *s)
{
    return s->n_connections;
}

void server_close(struct server *s)
{
    if (s->is_closed) {
        return;
    }
    s->is_closed = true;
    listener_destroy(s->listener);
    s->listener = NULL;
    deadline_disarm(s->http.deadlines, &s->wake_up.deadline);
    if (s->context) {
        lws_context_destroy(s->context);
    }
}

void server_destroy(struct server *s)
{
    if (s) {
        if (s->context) { /* 4.1 frees it only now; later versions have set it to NULL */
            lws_context_destroy(s->context);
        }
        free(s);
    }
}
