# Finds LibTorch without nvcc or a CUDA toolkit, and makes the imported target LibTorch::LibTorch.
#
# Looked at in this order:
#   VENE_LIBTORCH     (cache variable or environment) a folder with include/ and lib/: the unpacked libtorch zip,
#                     a wheel's torch folder, or a distribution's prefix
#   .deps/libtorch    what scripts/setup fetched
#   python3 -c "import torch"
#   the system prefix
# Sets LIBTORCH_VERSION, LIBTORCH_CUDA (the CUDA version the headers were built for, or "none"), LIBTORCH_HAS_CUDA
# (whether libtorch_cuda is linked) and LIBTORCH_ABI. VENE_CUDA is ON, OFF or AUTO.
set(_candidates)
# A bare release number such as 2.13.0 is scripts/setup's spelling: .deps/libtorch points at it.
foreach(_named "${VENE_LIBTORCH}" "$ENV{VENE_LIBTORCH}")
  if(IS_DIRECTORY "${_named}")
    list(APPEND _candidates "${_named}")
  endif()
endforeach()
list(APPEND _candidates "${CMAKE_CURRENT_LIST_DIR}/../.deps/libtorch")
find_path(LIBTORCH_INCLUDE_DIR torch/csrc/api/include/torch/all.h PATHS ${_candidates} PATH_SUFFIXES include NO_DEFAULT_PATH)
if(NOT LIBTORCH_INCLUDE_DIR)
  find_program(_python NAMES python3 python)
  if(_python)
    execute_process(COMMAND ${_python} -c "import torch, os; print(os.path.dirname(torch.__file__), end='')"
                    OUTPUT_VARIABLE _torch_folder ERROR_QUIET RESULT_VARIABLE _failed)
    if(NOT _failed)
      list(APPEND _candidates "${_torch_folder}")
    endif()
  endif()
endif()
find_path(LIBTORCH_INCLUDE_DIR torch/csrc/api/include/torch/all.h PATHS ${_candidates} PATH_SUFFIXES include)
if(LIBTORCH_INCLUDE_DIR)
  get_filename_component(_root "${LIBTORCH_INCLUDE_DIR}/.." ABSOLUTE)
  find_library(LIBTORCH_CPU_LIBRARY torch_cpu HINTS "${_root}/lib")
  find_library(LIBTORCH_C10_LIBRARY c10 HINTS "${_root}/lib")
  find_library(LIBTORCH_CUDA_LIBRARY torch_cuda HINTS "${_root}/lib" NO_DEFAULT_PATH)
  find_library(LIBTORCH_C10_CUDA_LIBRARY c10_cuda HINTS "${_root}/lib" NO_DEFAULT_PATH)
  set(_version_header "${LIBTORCH_INCLUDE_DIR}/torch/headeronly/version.h")
  if(NOT EXISTS "${_version_header}")
    set(_version_header "${LIBTORCH_INCLUDE_DIR}/torch/csrc/api/include/torch/version.h")
  endif()
  file(READ "${_version_header}" _text)
  foreach(_part MAJOR MINOR PATCH)
    string(REGEX MATCH "#define TORCH_VERSION_${_part} ([0-9]+)" _ "${_text}")
    set(_${_part} "${CMAKE_MATCH_1}")
  endforeach()
  set(LIBTORCH_VERSION "${_MAJOR}.${_MINOR}.${_PATCH}")
  set(LIBTORCH_CUDA none)
  if(EXISTS "${_root}/version.py")
    file(STRINGS "${_root}/version.py" _cuda REGEX "^cuda[^=]*= '")
    string(REGEX REPLACE ".*'([^']*)'.*" "\\1" _cuda "${_cuda}")
    if(_cuda)
      set(LIBTORCH_CUDA "${_cuda}")
    endif()
  endif()
  # LibTorch's own flag decides the ABI of std::string; we never set it to anything but what the library has.
  set(LIBTORCH_ABI 1)
  if(EXISTS "${_root}/share/cmake/Torch/TorchConfig.cmake")
    file(STRINGS "${_root}/share/cmake/Torch/TorchConfig.cmake" _abi REGEX "_GLIBCXX_USE_CXX11_ABI=0")
    if(_abi)
      set(LIBTORCH_ABI 0)
    endif()
  endif()
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch
  REQUIRED_VARS LIBTORCH_CPU_LIBRARY LIBTORCH_C10_LIBRARY LIBTORCH_INCLUDE_DIR VERSION_VAR LIBTORCH_VERSION
  REASON_FAILURE_MESSAGE "run scripts/setup, or pass -DVENE_LIBTORCH=<folder with include/ and lib/>")
if(LibTorch_FOUND AND NOT TARGET LibTorch::LibTorch)
  set(LIBTORCH_HAS_CUDA OFF)
  if(NOT VENE_CUDA STREQUAL "OFF" AND LIBTORCH_CUDA_LIBRARY AND LIBTORCH_C10_CUDA_LIBRARY)
    set(LIBTORCH_HAS_CUDA ON)
  elseif(VENE_CUDA STREQUAL "ON")
    message(FATAL_ERROR "VENE_CUDA=ON, but no libtorch_cuda beside ${LIBTORCH_CPU_LIBRARY} (VENE_CUDA=ON scripts/setup fetches it)")
  endif()
  add_library(LibTorch::c10 UNKNOWN IMPORTED)
  set_target_properties(LibTorch::c10 PROPERTIES IMPORTED_LOCATION "${LIBTORCH_C10_LIBRARY}")
  add_library(LibTorch::LibTorch UNKNOWN IMPORTED)
  set_target_properties(LibTorch::LibTorch PROPERTIES
    IMPORTED_LOCATION "${LIBTORCH_CPU_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${LIBTORCH_INCLUDE_DIR};${LIBTORCH_INCLUDE_DIR}/torch/csrc/api/include"
    INTERFACE_SYSTEM_INCLUDE_DIRECTORIES "${LIBTORCH_INCLUDE_DIR};${LIBTORCH_INCLUDE_DIR}/torch/csrc/api/include"
    INTERFACE_COMPILE_DEFINITIONS "_GLIBCXX_USE_CXX11_ABI=${LIBTORCH_ABI}"
    INTERFACE_LINK_LIBRARIES LibTorch::c10)
  if(LIBTORCH_HAS_CUDA)
    # Nothing of ours names a symbol of libtorch_cuda: it registers its kernels when loaded, so the linker must keep it.
    set_property(TARGET LibTorch::LibTorch APPEND PROPERTY INTERFACE_LINK_LIBRARIES
      "-Wl,--push-state,--no-as-needed" "${LIBTORCH_CUDA_LIBRARY}" "${LIBTORCH_C10_CUDA_LIBRARY}" "-Wl,--pop-state")
  endif()
  # The wheel's CUDA runtime and CUPTI lie in a sibling folder that libtorch_cpu's own RPATH names; the link step
  # has to be told of it too.
  foreach(_sibling "${_root}/../nvidia/cu13/lib" "${_root}/../nvidia/cuda_runtime/lib" "${_root}/../nvidia/cuda_cupti/lib")
    if(EXISTS "${_sibling}")
      set_property(TARGET LibTorch::LibTorch APPEND PROPERTY INTERFACE_LINK_OPTIONS "-Wl,-rpath-link,${_sibling}")
    endif()
  endforeach()
  message(STATUS "LibTorch ${LIBTORCH_VERSION}, CUDA ${LIBTORCH_CUDA} (linked: ${LIBTORCH_HAS_CUDA}), C++11 ABI ${LIBTORCH_ABI}: ${_root}")
endif()
mark_as_advanced(LIBTORCH_INCLUDE_DIR LIBTORCH_CPU_LIBRARY LIBTORCH_C10_LIBRARY LIBTORCH_CUDA_LIBRARY LIBTORCH_C10_CUDA_LIBRARY)
