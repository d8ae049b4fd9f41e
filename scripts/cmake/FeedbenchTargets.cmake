# The four kinds of target. Folder = target = namespace; a test stands beside what it tests.

# feedbench_library(NAME [SOURCES a.cpp ...] [LINK lib ...])  - header-only when it has no sources.
function(feedbench_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINK" ${ARGN})
  if(arg_SOURCES)
    add_library(${name} STATIC ${arg_SOURCES})
    target_link_libraries(${name} PUBLIC feedbench_flags ${arg_LINK})
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE feedbench_flags ${arg_LINK})
  endif()
  add_library(feedbench::${name} ALIAS ${name})
endfunction()

# All programs, and nothing else: what scripts/bench builds.
add_custom_target(programs)

# feedbench_program(NAME SOURCES ... LINK ...)  - a binary that is installed, in build/<preset>/bin.
function(feedbench_program name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE feedbench_flags ${arg_LINK})
  add_dependencies(programs ${name})
  install(TARGETS ${name} RUNTIME)
endfunction()

# feedbench_test(NAME SOURCES ... LINK ... LABELS unit|conformance|integration|privileged|fuzz|slow
#                [ENVIRONMENT VAR=value ...] [TIMEOUT seconds])  - one GoogleTest binary is one ctest entry.
function(feedbench_test name)
  if(NOT FEEDBENCH_TESTS)
    return()
  endif()
  cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;LINK;LABELS;ENVIRONMENT" ${ARGN})
  if(NOT arg_LABELS)
    set(arg_LABELS unit)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE feedbench_flags ${arg_LINK} GTest::gtest GTest::gmock GTest::gtest_main)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES
    LABELS "${arg_LABELS}" TIMEOUT ${arg_TIMEOUT} SKIP_RETURN_CODE 77
    ENVIRONMENT "GTEST_OUTPUT=xml:${CMAKE_BINARY_DIR}/test-results/;GTEST_COLOR=no;FEEDBENCH_BIN=${CMAKE_BINARY_DIR}/bin;FEEDBENCH_SOURCE=${PROJECT_SOURCE_DIR};${arg_ENVIRONMENT}")
endfunction()

# feedbench_benchmark(NAME SOURCES ... LINK ...)  - a Google Benchmark binary in build/<preset>/benchmarks.
function(feedbench_benchmark name)
  if(NOT FEEDBENCH_BENCHMARKS)
    return()
  endif()
  cmake_parse_arguments(arg "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE feedbench_flags ${arg_LINK} benchmark::benchmark benchmark::benchmark_main)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/benchmarks")
endfunction()
