foreach(module checkpoints commits durability events feeds limits runs schema storage suppression upgrade)
    belfry_unit_test(storage ${module})
    target_link_libraries(test_${module} PRIVATE PkgConfig::SQLITE)
endforeach()
target_compile_definitions(test_upgrade PRIVATE
    VERSIONS_FOLDER="${CMAKE_CURRENT_SOURCE_DIR}/storage")
belfry_unit_test(storage tools)
target_link_libraries(test_tools PRIVATE PkgConfig::SQLITE)
target_compile_definitions(test_tools PRIVATE
    VERSION_1_SQL="${CMAKE_CURRENT_SOURCE_DIR}/storage/version_1.sql")
