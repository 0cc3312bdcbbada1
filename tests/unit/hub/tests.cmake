foreach(module ad_hoc cache_recovery channel channel_load channel_memory channel_pages channel_template client delivery delta drain fan_out feed feed_instance feed_runs feed_storm feed_options history hub hub_reload
        merge namespaces outbox position_check proxy proxy_options publication publish refresh refresh_part refresh_store report schedule shape subscribe tags_filter tail trace traffic
        jwks subscription_grant token token_options webhook_options webhook_signature webhooks client_expiry client_publish connect control core_regressions sub_tokens)
    belfry_unit_test(hub ${module})
endforeach()

# Tokens are made with a library of their own: what checks them shall not make them.
pkg_check_modules(CRYPTO REQUIRED IMPORTED_TARGET libcrypto)
foreach(module channel client client_expiry client_publish connect control core_regressions jwks sub_tokens subscribe token token_options webhooks)
    target_link_libraries(test_${module} PRIVATE PkgConfig::CRYPTO)
endforeach()

# The file is changed behind the hub's back.
target_link_libraries(test_position_check PRIVATE PkgConfig::SQLITE)
target_link_libraries(test_webhooks PRIVATE PkgConfig::SQLITE)
foreach(module refresh_part refresh_store)
    target_link_libraries(test_${module} PRIVATE PkgConfig::SQLITE)
endforeach()
