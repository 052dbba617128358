// SPDX-License-Identifier: Apache-2.0
#include "vene/io/safetensors.h"

#include "helpers.h"
#include "vene/io/files.h"

namespace {

using namespace vene_test;
using namespace vene::io;
using testing::HasSubstr;

NamedTensors all_of(const std::string& path) {
  const Safetensors file = Safetensors::open(path);
  NamedTensors tensors;
  for (const TensorInfo& info : file.tensors()) tensors.emplace_back(info.name, file.tensor(info.name));
  return tensors;
}

std::map<std::string, torch::Tensor> by_name(const NamedTensors& tensors) {
  return {tensors.begin(), tensors.end()};
}

TEST(Safetensors, WritesByteForByteWhatTheReferenceWriterDoes) {
  const TestFolder folder;
  const Safetensors reference = Safetensors::open(golden_file("reference_writer.safetensors"));
  EXPECT_EQ(reference.metadata().at("format"), "pt");
  NamedTensors tensors = all_of(golden_file("reference_writer.safetensors"));
  EXPECT_EQ(tensors.size(), 18U);
  std::reverse(tensors.begin(), tensors.end());
  write_safetensors(folder / "copy.safetensors", tensors, reference.metadata());
  EXPECT_EQ(read_file(folder / "copy.safetensors"), read_file(golden_file("reference_writer.safetensors")));
}

TEST(Safetensors, ReadsTheValuesOfEveryDtype) {
  const Safetensors file = Safetensors::open(golden_file("reference_writer.safetensors"));
  const torch::Tensor plain = torch::arange(10.0).reshape({2, 5}) / 4 - 1;
  for (const torch::ScalarType dtype : {torch::kFloat64, torch::kFloat32, torch::kFloat16, torch::kBFloat16,
                                        torch::kFloat8_e5m2, torch::kFloat8_e4m3fn}) {
    std::string name = c10::toString(dtype);
    static const std::map<std::string, std::string> kNames{
        {"Double", "float64"},    {"Float", "float32"},           {"Half", "float16"},
        {"BFloat16", "bfloat16"}, {"Float8_e5m2", "float8_e5m2"}, {"Float8_e4m3fn", "float8_e4m3fn"}};
    const torch::Tensor value = file.tensor("torch." + kNames.at(name));
    EXPECT_EQ(value.scalar_type(), dtype);
    EXPECT_TRUE(value.to(torch::kFloat64).equal(plain.to(torch::kFloat64).to(dtype).to(torch::kFloat64))) << name;
  }
  for (const char* name : {"torch.int64", "torch.int32", "torch.int16", "torch.int8"}) {
    EXPECT_TRUE(file.tensor(name).to(torch::kInt64).equal((plain * 8).to(torch::kInt64))) << name;
  }
  EXPECT_TRUE(file.tensor("torch.uint8").to(torch::kInt64).equal(torch::tensor({0, 1, 127, 255}, torch::kInt64)));
  EXPECT_TRUE(file.tensor("torch.uint16").to(torch::kInt64).equal(torch::tensor({0, 1, 40000, 65535}, torch::kInt64)));
  EXPECT_TRUE(file.tensor("torch.bool").equal(torch::tensor({true, false, true})));
  EXPECT_EQ(file.tensor("torch.complex64")[0].item<c10::complex<float>>(), c10::complex<float>(-1, 1));
  EXPECT_EQ(file.tensor("scalar").dim(), 0);
  EXPECT_EQ(file.tensor("scalar").item<std::int64_t>(), 7);
  EXPECT_EQ(file.tensor("empty").sizes(), (std::vector<std::int64_t>{0, 4}));
}

TEST(Safetensors, TensorsAreViewsOfTheMappingAndOutliveTheFile) {
  const TestFolder folder;
  const std::string path = folder / "a.safetensors";
  const torch::Tensor numbers = torch::arange(6.0).reshape({2, 3});
  write_safetensors(path, {{"a", numbers}});
  torch::Tensor first, second;
  {
    const Safetensors file = Safetensors::open(path);
    first = file.tensor("a");
    second = file.tensor("a");
  }
  EXPECT_EQ(first.const_data_ptr(), second.const_data_ptr()) << "copied";
  std::filesystem::remove(path);
  EXPECT_TRUE(first.equal(numbers));
}

TEST(Safetensors, AWriteToATensorNeverReachesTheFile) {
  const TestFolder folder;
  const std::string path = folder / "a.safetensors";
  write_safetensors(path, {{"a", torch::ones({4})}});
  const std::string before = read_file(path);
  Safetensors::open(path).tensor("a").fill_(5);
  EXPECT_EQ(read_file(path), before);
  EXPECT_TRUE(Safetensors::open(path).tensor("a").equal(torch::ones({4})));
}

TEST(Safetensors, StridedTensorsAndOnesWithGradientsAreWrittenByTheirValues) {
  const TestFolder folder;
  const torch::Tensor base = torch::arange(12.0).reshape({3, 4});
  const torch::Tensor complex = torch::complex(base, base).conj();
  write_safetensors(folder / "a.safetensors",
                    {{"t", base.t()},
                     {"every", base.slice(1, 0, 4, 2)},
                     {"wide", base[0].expand({2, 4})},
                     {"grad", torch::ones({2}, torch::requires_grad())},
                     {"conj", complex}},
                    {{"quote", "\"\n\\"}, {"é", "🙂"}});
  const auto read = by_name(all_of(folder / "a.safetensors"));
  EXPECT_TRUE(read.at("t").equal(base.t()));
  EXPECT_TRUE(read.at("every").equal(base.slice(1, 0, 4, 2)));
  EXPECT_TRUE(read.at("wide").equal(base[0].expand({2, 4})));
  EXPECT_TRUE(read.at("grad").equal(torch::ones({2})));
  EXPECT_TRUE(read.at("conj").equal(complex));
  EXPECT_EQ(Safetensors::open(folder / "a.safetensors").metadata(),
            (std::map<std::string, std::string>{{"quote", "\"\n\\"}, {"é", "🙂"}}));
}

TEST(Safetensors, DataAtOddAddressesAreCopied) {
  const TestFolder folder;
  std::string header = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  header.append((9 - header.size() % 8) % 8, ' ');
  std::string bytes = safetensors_bytes(header, 4);
  const float value = 1.5F;
  std::memcpy(bytes.data() + bytes.size() - 4, &value, 4);
  ASSERT_NE((bytes.size() - 4) % 4, 0U);
  EXPECT_EQ(Safetensors::open(folder.write("odd.safetensors", bytes)).tensor("a").item<float>(), 1.5F);
}

TEST(Safetensors, FilesWithoutTensorsAreRead) {
  const TestFolder folder;
  write_safetensors(folder / "none.safetensors", {});
  EXPECT_TRUE(Safetensors::open(folder / "none.safetensors").tensors().empty());
}

TEST(Safetensors, AnAbsentTensorIsNamedWithTheNearest) {
  const Safetensors file = Safetensors::open(golden_file("state_dict.safetensors"));
  EXPECT_TRUE(file.contains("0.weight"));
  EXPECT_FALSE(file.contains("0.wieght"));
  EXPECT_THAT(io_error([&] { file.tensor("0.wieght"); }),
              AllOf(HasSubstr("has no tensor '0.wieght'"), HasSubstr("'0.weight'")));
}

class Shards : public testing::Test {
 protected:
  Shards() {
    write_safetensors(folder / "model-1.safetensors", {{"a", torch::ones({2})}, {"b", torch::zeros({3})}});
    write_safetensors(folder / "model-2.safetensors", {{"c", torch::full({1}, 4.0)}});
  }
  void index(const std::string& map) const {
    folder.write("model.safetensors.index.json", R"({"metadata":{"total_size":24},"weight_map":)" + map + "}");
  }
  TestFolder folder;
};

TEST_F(Shards, AreReadThroughTheirIndexOrTheirFolder) {
  index(R"({"a":"model-1.safetensors","b":"model-1.safetensors","c":"model-2.safetensors"})");
  for (const std::string& path : {folder.path(), folder / "model.safetensors.index.json"}) {
    const auto tensors = by_name(read_tensors(path));
    ASSERT_EQ(tensors.size(), 3U);
    EXPECT_TRUE(tensors.at("a").equal(torch::ones({2})));
    EXPECT_TRUE(tensors.at("c").equal(torch::full({1}, 4.0)));
  }
}

TEST_F(Shards, AMissingShardIsNamed) {
  index(R"({"a":"model-1.safetensors","d":"model-3.safetensors"})");
  EXPECT_THAT(io_error([&] { read_tensors(folder.path()); }),
              AllOf(HasSubstr("'model-3.safetensors'"), HasSubstr("'d'"), HasSubstr("missing")));
}

TEST_F(Shards, ATensorMissingInItsShardIsNamed) {
  index(R"({"a":"model-2.safetensors"})");
  EXPECT_THAT(io_error([&] { read_tensors(folder.path()); }),
              AllOf(HasSubstr("lacks tensor 'a'"), HasSubstr("model-2.safetensors")));
}

TEST_F(Shards, AShardOutsideTheFolderIsRefused) {
  for (const char* name : {"../model-1.safetensors", "/etc/passwd", "..", "", "a\\u0000b"}) {
    index(std::string(R"({"a":")") + name + "\"}");
    EXPECT_THAT(io_error([&] { read_tensors(folder.path()); }), HasSubstr("not a plain file name"));
  }
}

TEST_F(Shards, AMalformedIndexIsRefused) {
  for (const char* map : {"3", "[]", R"({"a":3})", "{", R"({"a":"model-1.safetensors","a":"model-2.safetensors"})"}) {
    index(map);
    EXPECT_THAT(io_error([&] { read_tensors(folder.path()); }), HasSubstr("model.safetensors.index.json"));
  }
  folder.write("model.safetensors.index.json", std::string(100000, '['));
  io_error([&] { read_tensors(folder.path()); });
  folder.write("model.safetensors.index.json", "");
  EXPECT_THAT(io_error([&] { read_tensors(folder.path()); }), HasSubstr("not valid JSON"));
}

TEST(ReadTensors, AFolderWithoutWeightsSaysWhatWasExpected) {
  const TestFolder folder;
  EXPECT_THAT(io_error([&] { read_tensors(folder.path()); }), HasSubstr("pytorch_model.bin"));
  EXPECT_THAT(io_error([&] { read_tensors(folder / "absent.safetensors"); }), HasSubstr("No such file or directory"));
  EXPECT_THAT(io_error([&] { read_tensors("/" + std::string(5000, 'a')); }), HasSubstr("too long"));
}

TEST(ReadTensors, TheContentDecidesNotTheName) {
  const TestFolder folder;
  std::filesystem::copy(golden_file("state_dict.pt"), folder / "pytorch_model.bin");
  const auto tensors = by_name(read_tensors(folder.path()));
  for (const auto& [name, expected] : all_of(golden_file("state_dict.safetensors")))
    EXPECT_TRUE(same_bits(tensors.at(name), expected)) << name;
}

}  // namespace
