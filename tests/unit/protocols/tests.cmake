foreach(module api_params centrifuge_commands centrifuge_frames centrifuge_pushes
        centrifuge_uni client_head cors emulation errors feed_hooks feed_pages feed_query handshake http_head origin poll_mask
        server_options)
    belfry_unit_test(protocols ${module})
endforeach()
