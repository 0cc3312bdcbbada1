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

/* For those who watch the hub: they get in also where clients have taken all places. */
#define OPERATORS_PLACES 64

enum door_kind {
    DOOR_PUBLIC,
    DOOR_INTERNAL,
    DOOR_UNIX, /* the last one to be opened: nothing that then fails leaves its file behind */
    N_DOORS,
};

/* One way in. A connection knows its own; libwebsockets has one vhost for all of them, because it
 * would choose among several by the name that a client sends. */
struct door {
    struct server *server;
    struct listener *listener; /* NULL: it is not there */
    size_t max_connections;    /* of the server; beyond it nobody comes in here */
    lws_adoption_type adoption;
    struct routes_view view;
    struct http_options http;
};

struct server {
    const struct server_options *options;
    struct lws_context *context;
    struct lws_vhost *vhost;
    struct tls_identity *identity; /* NULL: no TLS */
    struct door doors[N_DOORS];
    size_t n_connections;
    size_t n_requests; /* under way */
    struct http_counts http_counts;
    bool is_closed;
    struct routes routes;
    struct deadlines *deadlines;
    struct http_wake_up wake_up;
    struct websocket_options websockets[N_WEBSOCKET_KINDS];
    struct websocket_options no_websockets[N_WEBSOCKET_KINDS]; /* of a door without clients */
    struct lws_http_mount mounts[5];
};

/* --- callbacks --- */

static struct str bytes_of(const void *in, size_t len)
{
    return (struct str){in, len};
}

static int on_http(const struct door *door, struct lws *wsi, enum lws_callback_reasons reason,
                   struct slots *slots, void *in, size_t len)
{
    switch (reason) {
    case LWS_CALLBACK_FILTER_HTTP_CONNECTION:
        /* Pipelined behind a request that is under way, or that has no end. */
        return slots->request || slots->stream ? -1 : 0;
    case LWS_CALLBACK_HTTP: return http_on_request(&door->http, wsi, &slots->request);
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

static int on_websocket(const struct server *s, struct lws *wsi, enum lws_callback_reasons reason,
                        struct slots *slots, void *in, size_t len)
{
    const struct door *door = lws_get_opaque_user_data(wsi);
    switch (reason) {
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return websocket_on_upgrade(door->view.has_public ? s->websockets : s->no_websockets, wsi);
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
static int on_tls_context(struct server *s, void *context)
{
    struct tls_problem problem = {.key = "", .file = ""};
    enum status status = tls_identity_load(&s->options->http_server.tls, &s->identity, &problem);
    if (status == STATUS_OK) {
        status = tls_set_up(context, &s->identity, &problem);
    }
    if (status != STATUS_OK) {
        log_error("server", "tls_not_set_up", log_s("key", problem.key),
                  log_s("file", problem.file), log_s("expected", problem.expected));
        return -1;
    }
    tls_identity_log(s->identity, "certificate");
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
    case LWS_CALLBACK_CLOSED_HTTP:
        return on_http(lws_get_opaque_user_data(wsi), wsi, reason, user, in, len);
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
    static struct log_limit limit;
    struct str text = str_trim(str_of(line));
    if (text.len > 0 && text.ptr[text.len - 1] == '\n') {
        text.len--;
    }
    if (!(level & (LLL_ERR | LLL_WARN))) {
        log_debug("libwebsockets", "message", log_str("text", text));
    } else if (log_permits(&limit)) {
        log_warn("libwebsockets", "message", log_str("text", text),
                 log_i("left_out", limit.n_left_out));
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

/* --- the listening sockets --- */

static bool may_accept(void *arg)
{
    const struct door *door = arg;
    const struct server *s = door->server;
    if (s->n_connections < door->max_connections) {
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
    struct door *door = arg;
    lws_sock_file_fd_type descriptor = {.sockfd = fd};
    struct lws *wsi =
        lws_adopt_descriptor_vhost(door->server->vhost, door->adoption, descriptor, NULL, NULL);
    if (!wsi) {
        /* libwebsockets has closed it: mostly a peer that does not speak TLS. */
        log_debug("server", "not_adopted");
        return;
    }
    lws_set_opaque_user_data(wsi, door);
}

/* The timeouts of new connections were armed from outside libwebsockets' callbacks. */
static void on_batch(void *arg)
{
    const struct door *door = arg;
    lws_cancel_service(door->server->context);
}

static enum status open_door(struct door *door, struct listener_options options)
{
    options.loop = door->http.loop;
    options.may = may_accept;
    options.accepted = on_accepted;
    options.batch_done = on_batch;
    options.arg = door;
    return listener_create(&options, &door->listener);
}

static enum status open_internal_door(struct server *s)
{
    const struct http_server_options *options = &s->options->http_server;
    const char *address =
        options->internal_address[0] ? options->internal_address : options->address;
    struct door *door = &s->doors[DOOR_INTERNAL];
    if (options->internal_port == 0) {
        return STATUS_OK;
    }
    enum status status = open_door(door, (struct listener_options){
                                             .address = address,
                                             .port = (int)options->internal_port,
                                         });
    if (status == STATUS_OK) {
        log_info("server", "internal_port", log_s("address", address),
                 log_i("port", listener_port(door->listener)));
    }
    return status;
}

static enum status open_unix_door(struct server *s)
{
    const struct http_server_options *options = &s->options->http_server;
    if (!options->unix_socket[0]) {
        return STATUS_OK;
    }
    enum status status = open_door(&s->doors[DOOR_UNIX],
                                   (struct listener_options){
                                       .path = options->unix_socket,
                                       .mode = (mode_t)strtoul(options->unix_socket_mode, NULL, 8),
                                   });
    if (status == STATUS_OK) {
        log_info("server", "unix_socket", log_s("path", options->unix_socket),
                 log_s("mode", options->unix_socket_mode));
    }
    return status;
}

static enum status open_doors(struct server *s)
{
    const struct http_server_options *options = &s->options->http_server;
    enum status status =
        open_door(&s->doors[DOOR_PUBLIC], (struct listener_options){.address = options->address,
                                                                    .port = (int)options->port});
    if (status == STATUS_OK) {
        status = open_internal_door(s);
    }
    return status == STATUS_OK ? open_unix_door(s) : status;
}

static void set_up_doors(struct server *s, const struct http_options *http)
{
    bool has_internal_port = s->options->http_server.internal_port != 0;
    size_t n_descriptors = raise_descriptor_limit();
    size_t max_connections = n_descriptors > 2 * RESERVED_DESCRIPTORS
                                 ? n_descriptors - RESERVED_DESCRIPTORS
                                 : n_descriptors / 2;
    size_t n_more = max_connections / 4 < OPERATORS_PLACES ? max_connections / 4 : OPERATORS_PLACES;
    for (enum door_kind kind = 0; kind < N_DOORS; kind++) {
        struct door *door = &s->doors[kind];
        bool is_public = kind == DOOR_PUBLIC;
        *door = (struct door){
            .server = s,
            .max_connections = max_connections + (kind == DOOR_INTERNAL ? n_more : 0),
            .adoption = (lws_adoption_type)(LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP |
                                            (is_public ? LWS_ADOPT_ALLOW_SSL : 0)),
            .view = {.routes = &s->routes,
                     .has_public = kind != DOOR_INTERNAL,
                     .has_internal = !is_public || !has_internal_port},
            .http = *http,
        };
        door->http.arg = &door->view;
    }
}

/* Commands of a client over HTTP that wait behind one that takes time: as many bodies. */
#define WAITING_MAX_BODIES 16

static void set_up_no_websockets(struct server *s)
{
    for (size_t i = 0; i < N_WEBSOCKET_KINDS; i++) {
        s->no_websockets[i] = s->websockets[i];
        s->no_websockets[i].is_open = false;
    }
}

static void set_up_routes(struct server *s, struct loop *loop, struct hub *hub,
                          struct storage *storage)
{
    const struct server_options *options = s->options;
    s->routes.hub = hub;
    s->routes.options = options;
    s->routes.api = (struct api){.hub = hub, .loop = loop, .options = &options->http_api};
    api_keys_set(&s->routes.api.keys, &options->http_api);
    s->routes.access = (struct access){loop, hub, &s->routes.api.keys};
    s->routes.metrics = (struct metrics){
        hub,
        storage,
        loop,
        s->deadlines,
        clock_wall_ms(),
        &s->routes.url_proxy.stats,
        .api = &s->routes.api,
        .http = &s->http_counts,
        .reloads = {.is_last_taken = true, .taken_s = (double)clock_wall_ms() / 1000}};
    streams_init(&s->routes.streams, hub,
                 WAITING_MAX_BODIES * (size_t)options->emulation.max_request_body_size);
    s->routes.health = (struct health){hub, storage};
    s->routes.feed_pages = (struct feed_pages){&s->routes.access, &s->routes.streams};
    s->websockets[WEBSOCKET_BOTH_WAYS] = (struct websocket_options){
        .loop = loop,
        .hub = hub,
        .access_log = &options->http_server.access_log,
        .is_open = !options->websocket.disabled,
        .path = options->websocket.handler_prefix,
        .message_size_limit = (size_t)options->websocket.message_size_limit,
    };
    s->websockets[WEBSOCKET_UNI] = (struct websocket_options){
        .loop = loop,
        .hub = hub,
        .access_log = &options->http_server.access_log,
        .is_open = options->uni_websocket.enabled,
        .path = options->uni_websocket.handler_prefix,
        .message_size_limit = (size_t)options->uni_websocket.message_size_limit,
        .is_unidirectional = true,
        .joins = options->uni_websocket.join_push_messages,
        .pushes_disconnect = !options->uni_websocket.disable_disconnect_push,
        .closes_at_once = options->uni_websocket.disable_closing_handshake,
    };
    set_up_no_websockets(s);
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
    s->deadlines = deadlines;
    set_up_routes(s, loop, hub, storage);
    s->routes.url_proxy = (struct url_proxy){.loop = loop,
                                             .deadlines = deadlines,
                                             .hub = hub,
                                             .access = &s->routes.access,
                                             .options = &options->url_proxy};
    struct http_options http = {
        .loop = loop,
        .deadlines = deadlines,
        .body_timeout_ms = options->http_server.body_timeout_ms,
        .route = routes_find,
        .handler = routes_handle,
        .append_client_headers = routes_append_client_headers,
        .forwarded_headers = client_wanted_headers(hub),
        .access_log = &options->http_server.access_log,
        .n_under_way = &s->n_requests,
        .counts = &s->http_counts,
        .wake_up = &s->wake_up,
    };
    set_up_doors(s, &http);
    *ret_server = s;
    enum status status = create_context(s, loop);
    if (status == STATUS_OK) {
        status = create_vhost(s);
    }
    if (status == STATUS_OK) {
        status = open_doors(s);
    }
    return status;
}

int server_port(const struct server *s)
{
    return listener_port(s->doors[DOOR_PUBLIC].listener);
}

enum status server_reload_tls(struct server *s, const struct http_tls_options *options,
                              struct tls_problem *ret_problem)
{
    struct tls_identity *identity;
    if (!s->identity) {
        return STATUS_OK;
    }
    enum status status = tls_identity_load(options, &identity, ret_problem);
    if (status == STATUS_OK) {
        tls_identity_destroy(s->identity);
        s->identity = identity;
        tls_identity_log(identity, "certificate");
    }
    return status;
}

void server_set_options(struct server *s, const struct server_options *options)
{
    s->options = options;
    s->routes.options = options;
    s->routes.api.options = &options->http_api;
    api_keys_set(&s->routes.api.keys, &options->http_api);
    s->routes.url_proxy.options = &options->url_proxy;
    for (enum door_kind kind = 0; kind < N_DOORS; kind++) {
        s->doors[kind].http.access_log = &options->http_server.access_log;
    }
    for (size_t i = 0; i < N_WEBSOCKET_KINDS; i++) {
        s->websockets[i].access_log = &options->http_server.access_log;
    }
    set_up_no_websockets(s);
}

void server_count_reload(struct server *s, bool is_taken)
{
    struct reload_stats *stats = &s->routes.metrics.reloads;
    stats->n_taken += is_taken;
    stats->n_refused += !is_taken;
    stats->is_last_taken = is_taken;
    if (is_taken) {
        stats->taken_s = (double)clock_wall_ms() / 1000;
    }
}

void server_stop_listening(struct server *s)
{
    for (enum door_kind kind = 0; kind < N_DOORS; kind++) {
        if (s->doors[kind].listener && s->doors[kind].view.has_public) {
            listener_stop(s->doors[kind].listener);
        }
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
    for (enum door_kind kind = 0; kind < N_DOORS; kind++) {
        listener_destroy(s->doors[kind].listener);
        s->doors[kind].listener = NULL;
    }
    deadline_disarm(s->deadlines, &s->wake_up.deadline);
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
        tls_identity_destroy(s->identity);
        free(s);
    }
}
