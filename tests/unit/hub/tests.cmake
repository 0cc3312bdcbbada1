foreach(module channel channel_template client fan_out feed hub merge namespaces outbox publication
        refresh subscribe tail token)
    belfry_unit_test(hub ${module})
endforeach()

# Tokens are made with a library of their own: what checks them shall not make them.
pkg_check_modules(CRYPTO REQUIRED IMPORTED_TARGET libcrypto)
foreach(module channel client subscribe token)
    target_link_libraries(test_${module} PRIVATE PkgConfig::CRYPTO)
endforeach()
