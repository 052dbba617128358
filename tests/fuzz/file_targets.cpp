// SPDX-License-Identifier: Apache-2.0
#include <filesystem>

#include "tests/fuzz/targets.h"
#include "tests/test_folder.h"
#include "vene/io/gguf.h"
#include "vene/io/npz.h"
#include "vene/io/safetensors.h"
#include "vene/io/torch_archive.h"

namespace vene_fuzz {
namespace {

// One folder for all inputs of a process.
std::string written(const char* name, const std::string& bytes) {
  static const vene_test::TestFolder kFolder;
  return kFolder.write(name, bytes);
}

// Reads every byte of the values, so that one outside the file is noticed.
void touch(const torch::Tensor& tensor) {
  (void)tensor.clone();
}

}  // namespace

void safetensors(const std::string& bytes) {
  for (const auto& [name, tensor] : vene::io::read_tensors(written("a.safetensors", bytes))) touch(tensor);
}

void torch_archive(const std::string& bytes) {
  for (const auto& [name, tensor] : vene::io::read_state_dict(written("a.pt", bytes))) touch(tensor);
}

void npz(const std::string& bytes) {
  for (const auto& [name, tensor] : vene::io::read_npz(written("a.npz", bytes))) touch(tensor);
}

void gguf(const std::string& bytes) {
  for (const auto& [layer, direction] : vene::io::read_control_vector(written("a.gguf", bytes)).directions)
    touch(direction);
}

}  // namespace vene_fuzz
