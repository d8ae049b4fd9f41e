# The four kinds of target. Folder = target = namespace; a test stands beside what it tests.

# FEEDBENCH_FAST_BUILD: the files of a target are compiled six at once, and what nearly all of them include is parsed
# once. Two precompiled headers, since a compiler takes one only with the flags it was made with (-fPIC, -fPIE).
# Never the only way that code is built: it hides a missing #include.
if(FEEDBENCH_FAST_BUILD)
  file(WRITE "${CMAKE_BINARY_DIR}/precompiled/empty.cpp" "int main() {}\n")
  add_library(feedbench_precompiled_library STATIC EXCLUDE_FROM_ALL "${CMAKE_BINARY_DIR}/precompiled/empty.cpp")
  add_executable(feedbench_precompiled_program EXCLUDE_FROM_ALL "${CMAKE_BINARY_DIR}/precompiled/empty.cpp")
  foreach(kind IN ITEMS library program)
    target_link_libraries(feedbench_precompiled_${kind} PRIVATE feedbench_flags)
    set_target_properties(feedbench_precompiled_${kind} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/precompiled")
    target_precompile_headers(feedbench_precompiled_${kind} PRIVATE
      <algorithm> <array> <atomic> <bit> <charconv> <chrono> <cmath> <cstdint> <cstring> <deque> <filesystem> <fstream>
      <functional> <limits> <map> <memory> <optional> <random> <set> <span> <sstream> <stdexcept> <string>
      <string_view> <system_error> <thread> <unordered_map> <utility> <variant> <vector>)
  endforeach()
endif()
function(feedbench_build_fast target kind)
  if(FEEDBENCH_FAST_BUILD)
    target_precompile_headers(${target} REUSE_FROM feedbench_precompiled_${kind})
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 6)
    target_compile_options(${target} PRIVATE -Wno-subobject-linkage)  # an anonymous namespace in an included .cpp
  endif()
endfunction()

# feedbench_library(NAME [SOURCES a.cpp ...] [LINK lib ...])  - header-only when it has no sources.
function(feedbench_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINK" ${ARGN})
  if(arg_SOURCES)
    add_library(${name} STATIC ${arg_SOURCES})
    target_link_libraries(${name} PUBLIC feedbench_flags ${arg_LINK})
    feedbench_build_fast(${name} library)
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE feedbench_flags ${arg_LINK})
  endif()
  add_library(feedbench::${name} ALIAS ${name})
endfunction()

# All programs, and nothing else: what scripts/bench builds.
add_custom_target(programs)

# feedbench_program(NAME SOURCES ... LINK ...)  - a binary that is installed, in build/<preset>/bin. What it prints for
# --version is FEEDBENCH_VERSION, the version of project() in /CMakeLists.txt.
function(feedbench_program name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE feedbench_flags ${arg_LINK})
  target_compile_definitions(${name} PRIVATE FEEDBENCH_VERSION="${PROJECT_VERSION}")
  feedbench_build_fast(${name} program)
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
