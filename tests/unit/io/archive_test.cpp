// SPDX-License-Identifier: Apache-2.0
#include <torch/serialize.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "helpers.h"
#include "vene/io/files.h"
#include "vene/io/safetensors.h"
#include "vene/io/torch_archive.h"

namespace {

using namespace vene_test;
using namespace vene::io;
using testing::HasSubstr;
using Json = nlohmann::json;

/// Compares a value with its description in tests/golden/io (see make_archives.py).
class Described {
 public:
  explicit Described(const std::string& name)
      : value_(read_archive(golden_file(name + ".pt"))), json_(Json::parse(read_file(golden_file(name + ".json")))) {
    if (std::filesystem::exists(golden_file(name + ".safetensors"))) {
      for (const auto& [key, tensor] : read_tensors(golden_file(name + ".safetensors"))) tensors_[key] = tensor;
    }
  }
  void check() {
    compare(value_, json_, "the archive");
    EXPECT_EQ(compared_, tensors_.size());
  }

 private:
  void compare(const ArchiveValue& value, const Json& expected, const std::string& where) {
    SCOPED_TRACE(where);
    if (expected.is_null()) {
      EXPECT_TRUE(std::holds_alternative<std::monostate>(value.value));
    } else if (expected.is_boolean()) {
      ASSERT_TRUE(std::holds_alternative<bool>(value.value));
      EXPECT_EQ(std::get<bool>(value.value), expected.get<bool>());
    } else if (expected.is_number_integer()) {
      ASSERT_TRUE(std::holds_alternative<std::int64_t>(value.value));
      EXPECT_EQ(std::get<std::int64_t>(value.value), expected.get<std::int64_t>());
    } else if (expected.is_number_float()) {
      ASSERT_TRUE(std::holds_alternative<double>(value.value));
      EXPECT_EQ(std::get<double>(value.value), expected.get<double>());
    } else if (expected.is_string()) {
      ASSERT_TRUE(std::holds_alternative<std::string>(value.value));
      EXPECT_EQ(std::get<std::string>(value.value), expected.get<std::string>());
    } else if (expected.contains("tensor")) {
      ASSERT_TRUE(std::holds_alternative<torch::Tensor>(value.value));
      torch::Tensor tensor = std::get<torch::Tensor>(value.value);
      const bool as_parts =
          tensor.scalar_type() == torch::kComplexDouble || tensor.scalar_type() == torch::kComplexHalf;
      EXPECT_TRUE(same_bits(as_parts ? torch::view_as_real(tensor) : tensor, tensors_.at(expected["tensor"])));
      ++compared_;
    } else if (expected.contains("list")) {
      ASSERT_TRUE(std::holds_alternative<ArchiveValue::List>(value.value));
      const auto& list = std::get<ArchiveValue::List>(value.value);
      ASSERT_EQ(list.size(), expected["list"].size());
      for (std::size_t i = 0; i < list.size(); ++i)
        compare(list[i], expected["list"][i], where + "[" + std::to_string(i) + "]");
    } else {
      ASSERT_TRUE(std::holds_alternative<ArchiveValue::Dict>(value.value));
      const auto& dict = std::get<ArchiveValue::Dict>(value.value);
      ASSERT_EQ(dict.size(), expected["dict"].size());
      for (std::size_t i = 0; i < dict.size(); ++i) {
        compare(dict[i].first, expected["dict"][i][0], where + ", key " + std::to_string(i));
        compare(dict[i].second, expected["dict"][i][1], where + "[" + expected["dict"][i][0].dump() + "]");
      }
    }
  }

  ArchiveValue value_;
  Json json_;
  std::map<std::string, torch::Tensor> tensors_;
  std::size_t compared_ = 0;
};

class Archives : public testing::TestWithParam<const char*> {};

TEST_P(Archives, HoldWhatPythonPutIn) {
  Described(GetParam()).check();
}

INSTANTIATE_TEST_SUITE_P(Golden, Archives,
                         testing::Values("state_dict", "dtypes", "views", "wrapped", "containers_2", "containers_3",
                                         "containers_4", "containers_5", "training_state", "legacy_state_dict",
                                         "legacy_views", "legacy_dtypes", "legacy_containers"),
                         [](const auto& info) { return std::string(info.param); });

TEST(Archive, TensorsOfOneStorageShareIt) {
  const ArchiveValue views = read_archive(golden_file("views.pt"));
  const auto tensor = [&](const char* name) { return std::get<torch::Tensor>(views.find(name)->value); };
  tensor("base").index_put_({2, 3}, 50.0);
  EXPECT_EQ(tensor("element").item<float>(), 50.0F);
  EXPECT_EQ(tensor("transposed").index({3, 2}).item<float>(), 50.0F);
  EXPECT_EQ(tensor("again").index({2, 3}).item<float>(), 50.0F);
  EXPECT_EQ(tensor("transposed").strides(), (std::vector<std::int64_t>{1, 6}));
  EXPECT_EQ(tensor("scalar").dim(), 0);
  EXPECT_EQ(views.find("absent"), nullptr);
}

TEST(Archive, TensorsOutliveTheFile) {
  const TestFolder folder;
  std::filesystem::copy(golden_file("state_dict.pt"), folder / "a.pt");
  const auto tensors = read_state_dict(folder / "a.pt");
  std::filesystem::remove(folder / "a.pt");
  for (const auto& [name, tensor] : read_tensors(golden_file("state_dict.safetensors"))) {
    const auto found =
        std::find_if(tensors.begin(), tensors.end(), [&, key = name](const auto& entry) { return entry.first == key; });
    ASSERT_NE(found, tensors.end()) << name;
    EXPECT_TRUE(same_bits(found->second, tensor)) << name;
  }
}

TEST(StateDict, KeepsTheOrderAndLooksIntoAStateDictEntry) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : read_state_dict(golden_file("state_dict.pt"))) names.push_back(name);
  EXPECT_THAT(names, testing::ElementsAre("0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var",
                                          "1.num_batches_tracked", "2.weight"));
  const auto wrapped = read_state_dict(golden_file("wrapped.pt"));
  ASSERT_EQ(wrapped.size(), 2U);
  EXPECT_EQ(wrapped[0].first, "weight");
}

TEST(StateDict, WhatIsNoTensorIsNamed) {
  EXPECT_THAT(io_error([] { read_state_dict(golden_file("containers_2.pt")); }),
              HasSubstr("entry 'none' is None, not a tensor"));
}

TEST(Archive, WhatLibTorchItselfSavesIsNamedNotCrashedOn) {
  const TestFolder folder;
  torch::save(torch::ones({2}), folder / "module.pt");  // a TorchScript archive, whose pickle names classes of its own
  io_error([&] { read_archive(folder / "module.pt"); });
}

}  // namespace
