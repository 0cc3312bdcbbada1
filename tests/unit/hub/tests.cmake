foreach(module cache_recovery channel channel_load channel_memory channel_template client fan_out feed history hub
        merge namespaces outbox position_check publication publish refresh subscribe tail token)
    belfry_unit_test(hub ${module})
endforeach()

# Tokens are made with a library of their own: what checks them shall not make them.
pkg_check_modules(CRYPTO REQUIRED IMPORTED_TARGET libcrypto)
foreach(module channel client subscribe token)
    target_link_libraries(test_${module} PRIVATE PkgConfig::CRYPTO)
endforeach()

# The file is changed behind the hub's back.
target_link_libraries(test_position_check PRIVATE PkgConfig::SQLITE)
