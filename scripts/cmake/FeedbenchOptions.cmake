# Options, the language level, warnings and sanitizers that every target shares.

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

option(FEEDBENCH_TESTS "Build the tests" ${PROJECT_IS_TOP_LEVEL})
option(FEEDBENCH_BENCHMARKS "Build the micro-benchmarks" ${PROJECT_IS_TOP_LEVEL})
option(FEEDBENCH_WARNINGS_AS_ERRORS "Treat warnings as errors" ${PROJECT_IS_TOP_LEVEL})
option(FEEDBENCH_ASSERTIONS "Keep assert() and libstdc++ container assertions in every build type" OFF)
option(FEEDBENCH_FAST_BUILD "Compile fewer, larger files, and the standard library once: two thirds of the time" OFF)
set(FEEDBENCH_SANITIZE "" CACHE STRING "Sanitizers to build with, for example address,undefined")
set(FEEDBENCH_TLS openssl CACHE STRING "Who speaks TLS: openssl or wolfssl")
set_property(CACHE FEEDBENCH_TLS PROPERTY STRINGS openssl wolfssl)
if(NOT FEEDBENCH_TLS MATCHES "^(openssl|wolfssl)$")
  message(FATAL_ERROR "FEEDBENCH_TLS=${FEEDBENCH_TLS}: openssl and wolfssl are known")
endif()
set(FEEDBENCH_CCACHE AUTO CACHE STRING "Use ccache: AUTO, ON or OFF")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")

if(NOT CMAKE_CXX_COMPILER_LAUNCHER AND NOT FEEDBENCH_CCACHE STREQUAL "OFF")
  find_program(FEEDBENCH_CCACHE_PROGRAM ccache)
  if(FEEDBENCH_CCACHE_PROGRAM)
    set(CMAKE_C_COMPILER_LAUNCHER "${FEEDBENCH_CCACHE_PROGRAM}")
    set(CMAKE_CXX_COMPILER_LAUNCHER "${FEEDBENCH_CCACHE_PROGRAM}")
  elseif(FEEDBENCH_CCACHE STREQUAL "ON")
    message(FATAL_ERROR "FEEDBENCH_CCACHE=ON, but ccache was not found")
  endif()
endif()

# Everything compiled here links this one interface target.
add_library(feedbench_flags INTERFACE)
target_include_directories(feedbench_flags INTERFACE "${PROJECT_SOURCE_DIR}")
target_compile_options(feedbench_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -fno-omit-frame-pointer
  $<$<BOOL:${FEEDBENCH_WARNINGS_AS_ERRORS}>:-Werror>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # GCC 12 sees overlapping copies in `text + std::string` at -O3 that are not there (its bug 105651).
  target_compile_options(feedbench_flags INTERFACE -Wno-restrict)
  if(FEEDBENCH_FAST_BUILD)
    # More of the kind, inside the standard library, which it keeps to itself where no header is precompiled.
    target_compile_options(feedbench_flags INTERFACE -Wno-array-bounds -Wno-stringop-overflow -Wno-stringop-overread)
  endif()
endif()
if(FEEDBENCH_ASSERTIONS)
  target_compile_options(feedbench_flags INTERFACE -UNDEBUG)
  target_compile_definitions(feedbench_flags INTERFACE _GLIBCXX_ASSERTIONS)
endif()
if(FEEDBENCH_SANITIZE)
  target_compile_options(feedbench_flags INTERFACE -fsanitize=${FEEDBENCH_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(feedbench_flags INTERFACE -fsanitize=${FEEDBENCH_SANITIZE})
  if(FEEDBENCH_SANITIZE MATCHES "thread")
    # GCC 12 does not model atomic_thread_fence under ThreadSanitizer; the code that needs a fence says what it does instead.
    target_compile_options(feedbench_flags INTERFACE -Wno-tsan)
  endif()
endif()
