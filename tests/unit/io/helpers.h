// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <gmock/gmock.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <random>
#include <string>

#include "test_folder.h"
#include "vene/base/error.h"

namespace vene_test {

/// tests/golden/io/<name>
std::string golden_file(const std::string& name);

/// A safetensors file: header length, header, data.
std::string safetensors_bytes(const std::string& header, std::size_t data_size);

/// Equal in dtype, shape and every bit.
bool same_bits(const torch::Tensor& a, const torch::Tensor& b);

/// What the IoError of `call` says; it must be one line.
template <class Call>
std::string io_error(Call&& call) {
  try {
    call();
  } catch (const vene::IoError& error) {
    const std::string what = error.what();
    EXPECT_EQ(what.find('\n'), std::string::npos) << what;
    return what;
  }
  ADD_FAILURE() << "expected an IoError";
  return {};
}

/// `bytes` with a few random bytes changed, cut, repeated or removed.
std::string damaged(std::string bytes, std::mt19937_64& random);

}  // namespace vene_test
