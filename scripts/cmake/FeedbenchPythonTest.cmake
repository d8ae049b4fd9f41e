# feedbench_python_test(NAME SCRIPT file.py [LABELS ...] [TIMEOUT seconds] [SERIAL])  - one unittest module is one ctest
# entry. It drives the built programs as processes (FEEDBENCH_BIN), with Debian's Python and its packages. Results go to
# test-results/ in the format of the GoogleTest binaries, so that skips are counted alike.
include_guard(GLOBAL)

find_program(FEEDBENCH_TEST_PYTHON python3 PATHS /usr/bin NO_DEFAULT_PATH)
if(NOT FEEDBENCH_TEST_PYTHON)
  find_program(FEEDBENCH_TEST_PYTHON python3)
endif()

function(feedbench_python_test name)
  if(NOT FEEDBENCH_TESTS)
    return()
  endif()
  cmake_parse_arguments(arg "SERIAL" "SCRIPT;TIMEOUT" "LABELS" ${ARGN})
  if(NOT arg_LABELS)
    set(arg_LABELS integration)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  add_test(NAME ${name}
    COMMAND "${FEEDBENCH_TEST_PYTHON}" -B "${PROJECT_SOURCE_DIR}/scripts/testing/run_unittest.py"
            "${CMAKE_CURRENT_SOURCE_DIR}/${arg_SCRIPT}" --name ${name} --results "${CMAKE_BINARY_DIR}/test-results"
            --give-up-after ${arg_TIMEOUT})
  set_tests_properties(${name} PROPERTIES
    LABELS "${arg_LABELS}" TIMEOUT ${arg_TIMEOUT} SKIP_RETURN_CODE 77 RUN_SERIAL "${arg_SERIAL}"
    ENVIRONMENT "FEEDBENCH_BIN=${CMAKE_BINARY_DIR}/bin;FEEDBENCH_SOURCE=${PROJECT_SOURCE_DIR};FEEDBENCH_BUILD=${CMAKE_BINARY_DIR};PYTHONUNBUFFERED=1")
endfunction()
