foreach(module api_keys api_params api_stream centrifuge_commands centrifuge_frames centrifuge_pushes
        centrifuge_uni client_head cors emulation errors feed_hooks feed_pages feed_query handshake http_head metrics_text origin poll_mask request_id
        server_options tls unix_socket)
    belfry_unit_test(protocols ${module})
endforeach()
target_link_libraries(test_tls PRIVATE PkgConfig::SSL)
