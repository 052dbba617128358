// SPDX-License-Identifier: Apache-2.0
#include <c10/util/Exception.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <filesystem>
#include <new>
#include <stdexcept>

#include "src/cli/print.h"

namespace {

using vene::cli::sentence_of;

template <class Call>
std::string said_of(Call&& call) {
  try {
    call();
  } catch (const std::exception& error) {
    return sentence_of(error);
  }
  return "nothing";
}

TEST(SentenceOf, TheStandardLibrarysErrorsSpeakOfTheUsersThings) {
  EXPECT_EQ(said_of([] { (void)std::filesystem::file_size("/nowhere/at/all"); }),
            "cannot use '/nowhere/at/all': No such file or directory");
  const std::string longest = said_of([] { (void)std::filesystem::status("/" + std::string(5000, 'n')); });
  EXPECT_THAT(longest, testing::HasSubstr("...': File name too long"));
  EXPECT_LT(longest.size(), 200U);
  EXPECT_EQ(said_of([] { throw std::bad_alloc(); }), "out of memory");
  EXPECT_EQ(said_of([] { std::string().reserve(std::string().max_size() + 1); }),
            "out of memory: something is larger than any memory");
  EXPECT_EQ(said_of([] { (void)std::string().at(7); }).substr(0, 40), "an error that should not have come up (b");
}

TEST(SentenceOf, LibTorchsErrorsAreTheirFirstLine) {
  EXPECT_EQ(said_of([] { (void)torch::empty({std::int64_t{1} << 50}, torch::kUInt8); }),
            "out of memory: 1125899906842624 bytes were wanted at once");
  EXPECT_EQ(said_of([] { throw std::runtime_error("could not create a primitive"); }), "out of memory");
  const std::string shapes = said_of([] { (void)torch::ones({2, 3}).matmul(torch::ones({2, 3})); });
  EXPECT_THAT(shapes, testing::HasSubstr("mat1 and mat2 shapes cannot be multiplied"));
  EXPECT_EQ(shapes.find('\n'), std::string::npos);
}

}  // namespace
