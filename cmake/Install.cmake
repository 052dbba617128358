# Installed, in four components:
#   libraries   shared libraries (nothing in a static build)
#   dev         headers, static libraries, the CMake package and the pkg-config file
#   command     the command, its manual page and its completions
#   libtorch    a copy of LibTorch under lib/vene/libtorch, where LibTorch came from this checkout's .deps
# Nothing that is installed points into the checkout.
include(CMakePackageConfigHelpers)

# --- Where LibTorch will be ---------------------------------------------------------------------
cmake_path(SET _include NORMALIZE "${LIBTORCH_INCLUDE_DIR}")
cmake_path(IS_PREFIX PROJECT_SOURCE_DIR "${_include}" NORMALIZE _in_checkout)
option(VENE_INSTALL_LIBTORCH "Install a copy of LibTorch under lib/vene/libtorch" ${_in_checkout})
get_filename_component(_libtorch "${LIBTORCH_INCLUDE_DIR}/.." REALPATH)
get_filename_component(_libtorch_lib "${LIBTORCH_CPU_LIBRARY}" DIRECTORY)
file(RELATIVE_PATH _lib_from_bin "${CMAKE_INSTALL_FULL_BINDIR}" "${CMAKE_INSTALL_FULL_LIBDIR}")
if(VENE_INSTALL_LIBTORCH)
  set(VENE_INSTALLED_LIBTORCH "${CMAKE_INSTALL_LIBDIR}/vene/libtorch")
  set(VENE_LIBTORCH_FOR_PKGCONFIG "\${libdir}/vene/libtorch")
  set(VENE_LIBTORCH_LIB_FOR_PKGCONFIG "\${libtorch}/lib")
  set(VENE_LIBTORCH_RPATH_LINK "-Wl,-rpath-link,\${libtorch}/lib")
  set(_rpath_from_lib "$ORIGIN" "$ORIGIN/vene/libtorch/lib")
  set(_rpath_from_bin "$ORIGIN/${_lib_from_bin}" "$ORIGIN/${_lib_from_bin}/vene/libtorch/lib")
else()
  set(VENE_INSTALLED_LIBTORCH "${_libtorch}")
  set(VENE_LIBTORCH_FOR_PKGCONFIG "${_libtorch}")
  get_filename_component(_real_lib "${_libtorch_lib}" REALPATH)
  set(VENE_LIBTORCH_LIB_FOR_PKGCONFIG "${_real_lib}")
  get_target_property(_link_options LibTorch::LibTorch INTERFACE_LINK_OPTIONS)
  if(_link_options)
    string(REPLACE ";" " " VENE_LIBTORCH_RPATH_LINK "${_link_options}")
  endif()
  set(_rpath_from_lib "$ORIGIN" "${_real_lib}")
  set(_rpath_from_bin "$ORIGIN/${_lib_from_bin}" "${_real_lib}")
endif()
set_target_properties(vene vene_models PROPERTIES INSTALL_RPATH "${_rpath_from_lib}")

# --- Libraries and headers ----------------------------------------------------------------------
set(_package ${CMAKE_INSTALL_LIBDIR}/cmake/vene)
install(DIRECTORY include/vene DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT dev)
install(TARGETS vene vene_models EXPORT vene-targets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT dev
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT libraries NAMELINK_COMPONENT dev)
install(EXPORT vene-targets NAMESPACE vene:: DESTINATION ${_package} COMPONENT dev)
configure_package_config_file(cmake/vene-config.cmake.in ${PROJECT_BINARY_DIR}/vene-config.cmake
  INSTALL_DESTINATION ${_package} PATH_VARS VENE_INSTALLED_LIBTORCH)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/vene-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/vene-config.cmake ${PROJECT_BINARY_DIR}/vene-config-version.cmake cmake/FindLibTorch.cmake
  DESTINATION ${_package} COMPONENT dev)

# What the archives are made of has to be linked by whoever links them; shared libraries bring it themselves.
set(_private "-lsentencepiece -licui18n -licuuc -lz")
if(BUILD_SHARED_LIBS)
  set(VENE_PKGCONFIG_PRIVATE "Libs.private: ${_private}")
  set(VENE_PKGCONFIG_OWN "-Wl,-rpath,\${libdir}")
else()
  set(VENE_PKGCONFIG_OWN "${_private}")
endif()
file(RELATIVE_PATH VENE_PREFIX_FROM_PKGCONFIG "${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig" "${CMAKE_INSTALL_PREFIX}")
configure_file(cmake/vene.pc.in ${PROJECT_BINARY_DIR}/vene.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/vene.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT dev)

# --- The command ---------------------------------------------------------------------------------
if(VENE_BUILD_CLI)
  set_target_properties(vene_cli PROPERTIES INSTALL_RPATH "${_rpath_from_bin}")
  install(TARGETS vene_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT command)
  # The command describes itself: its manual page and its completions are what it prints.
  set(_pages ${PROJECT_BINARY_DIR}/pages)
  set(_page_arguments man "completion bash" "completion zsh" "completion fish")
  set(_page_files vene.1 vene _vene vene.fish)
  foreach(_arguments _file IN ZIP_LISTS _page_arguments _page_files)
    install(CODE "
      file(MAKE_DIRECTORY \"${_pages}\")
      execute_process(COMMAND \"$<TARGET_FILE:vene_cli>\" ${_arguments} OUTPUT_FILE \"${_pages}/${_file}\" COMMAND_ERROR_IS_FATAL ANY)"
      COMPONENT command)
  endforeach()
  install(FILES ${_pages}/vene.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT command)
  install(FILES ${_pages}/vene DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions COMPONENT command)
  install(FILES ${_pages}/_vene DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions COMPONENT command)
  install(FILES ${_pages}/vene.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d COMPONENT command)
endif()

# --- LibTorch -------------------------------------------------------------------------------------
if(VENE_INSTALL_LIBTORCH)
  install(DIRECTORY "${_libtorch}/include/" DESTINATION ${VENE_INSTALLED_LIBTORCH}/include COMPONENT dev)
  # CUDA of a wheel lies in a sibling folder: whatever LibTorch loads from its own folder or that one comes along, and
  # side by side, where LibTorch's own RPATH ($ORIGIN) finds it. What the system has stays the system's.
  get_filename_component(_wheel "${_libtorch}/.." REALPATH)
  set(_loaded "${LIBTORCH_CPU_LIBRARY}" "${LIBTORCH_C10_LIBRARY}")
  if(LIBTORCH_HAS_CUDA)
    list(APPEND _loaded "${LIBTORCH_CUDA_LIBRARY}" "${LIBTORCH_C10_CUDA_LIBRARY}")
  endif()
  install(CODE "
    set(loaded)
    foreach(library ${_loaded})
      file(REAL_PATH \"\${library}\" library)
      list(APPEND loaded \"\${library}\")
    endforeach()
    file(GET_RUNTIME_DEPENDENCIES LIBRARIES \${loaded} RESOLVED_DEPENDENCIES_VAR found UNRESOLVED_DEPENDENCIES_VAR missing)
    foreach(library \${found})
      file(REAL_PATH \"\${library}\" real)
      string(FIND \"\${real}\" \"${_wheel}/\" at)
      if(at EQUAL 0)
        list(APPEND loaded \"\${library}\")
      endif()
    endforeach()
    list(REMOVE_DUPLICATES loaded)
    file(INSTALL DESTINATION \"\${CMAKE_INSTALL_PREFIX}/${VENE_INSTALLED_LIBTORCH}/lib\" TYPE SHARED_LIBRARY FOLLOW_SYMLINK_CHAIN FILES \${loaded})"
    COMPONENT libtorch)
  # LibTorch's licences, and those of what is in it.
  file(GLOB _licences "${_libtorch}/../torch-*.dist-info/licenses" "${_libtorch}/LICENSE*" "${_libtorch}/NOTICE*")
  if(_licences)
    install(DIRECTORY ${_licences} DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/vene/libtorch COMPONENT libtorch)
  endif()
endif()
