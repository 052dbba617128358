// SPDX-License-Identifier: Apache-2.0
#include "vene/io/gguf.h"

#include <cstring>

#include "helpers.h"
#include "vene/io/files.h"

namespace {

using namespace vene_test;
using namespace vene::io;
using testing::HasSubstr;

torch::Tensor direction(std::int64_t layer) {
  return (torch::arange(6, torch::kFloat32) - 3) * 0.25 + layer;
}

// A file field by field, so that each can be made wrong.
struct File {
  std::string bytes = "GGUF";
  template <class T>
  File& number(T value) {
    bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  File& text(const std::string& value) {
    number<std::uint64_t>(value.size());
    bytes += value;
    return *this;
  }
  File& head(std::uint64_t tensors = 1, std::uint64_t keys = 1, std::uint32_t version = 3) {
    return number(version).number(tensors).number(keys);
  }
  File& architecture(const std::string& name = "controlvector") {
    return text("general.architecture").number<std::uint32_t>(8).text(name);
  }
  File& tensor(const std::string& name = "direction.1", std::uint64_t width = 4, std::uint64_t offset = 0,
               std::uint32_t type = 0) {
    return text(name).number<std::uint32_t>(1).number(width).number(type).number(offset);
  }
  File& data(std::size_t size = 16) {
    bytes.append((32 - bytes.size() % 32) % 32, '\0');
    bytes.append(size, '\x3f');
    return *this;
  }
};

TEST(ControlVector, IsReadAsThePackageOfTheFormatWroteIt) {
  for (const char* name : {"control_vector.gguf", "control_vector_extra.gguf"}) {
    const ControlVector vector = read_control_vector(golden_file(name));
    EXPECT_EQ(vector.model_hint, "gpt2");
    ASSERT_EQ(vector.directions.size(), 3U) << name;
    for (const std::int64_t layer : {1, 2, 5})
      EXPECT_TRUE(same_bits(vector.directions.at(layer), direction(layer))) << name << layer;
  }
}

TEST(ControlVector, IsWrittenByteForByteAsThePackageOfTheFormatDoes) {
  const TestFolder folder;
  write_control_vector(folder / "v.gguf", {"gpt2", {{1, direction(1)}, {2, direction(2)}, {5, direction(5)}}});
  EXPECT_EQ(read_file(folder / "v.gguf"), read_file(golden_file("control_vector.gguf")));
  EXPECT_EQ(folder.entries(), 1U);
}

TEST(ControlVector, HalfPrecisionIsReadToo) {
  const TestFolder folder;
  File file;
  file.head().architecture().tensor("direction.7", 3, 0, 1).data(0);
  const torch::Tensor half = torch::tensor({1.5, -2.0, 0.25}, torch::kFloat16);
  file.bytes.append(static_cast<const char*>(half.data_ptr()), 6);
  EXPECT_TRUE(
      same_bits(read_control_vector(folder.write("v.gguf", file.bytes)).directions.at(7), half.to(torch::kFloat32)));
}

TEST(ControlVector, SaysWhatIsWrongWithAFile) {
  const TestFolder folder;
  const auto says = [&](const File& file, const std::string& what) {
    EXPECT_THAT(io_error([&] { read_control_vector(folder.write("bad.gguf", file.bytes)); }), HasSubstr(what));
  };
  File empty, other;
  empty.bytes.clear();
  other.bytes = "PK\3\4 something else";
  says(empty, "does not start with 'GGUF'");
  says(other, "does not start with 'GGUF'");
  says(File().head(1, 1, 1), "version 1; expected 2 or 3");
  says(File().number<std::uint32_t>(3), "inside the number of tensors");
  says(File().head(UINT64_MAX), "the number of tensors is 18446744073709551615, more than the file has room for");
  says(File().head(0, UINT64_MAX / 2), "more than the file has room for");
  says(File().head().architecture("llama").tensor().data(), "architecture 'llama', not a control vector");
  says(File().head(1, 0).tensor().data(), "architecture ''");
  says(File().head().text("general.architecture").number<std::uint32_t>(4).number<std::uint32_t>(1).tensor().data(),
       "is not a text");
  says(File().head(1, 2).architecture().architecture().tensor().data(), "key 'general.architecture' is there twice");
  says(File().head(1, 2).architecture().text("x").number<std::uint32_t>(13).tensor().data(), "the unknown type 13");
  says(File()
           .head(1, 2)
           .architecture()
           .text("x")
           .number<std::uint32_t>(9)
           .number<std::uint32_t>(8)
           .number(UINT64_MAX)
           .tensor()
           .data(),
       "the length of key 'x'");
  says(File()
           .head(1, 2)
           .architecture()
           .text("general.alignment")
           .number<std::uint32_t>(4)
           .number<std::uint32_t>(7)
           .tensor()
           .data(),
       "expected a power of two");
  says(File().head(1, 2).architecture().number(UINT64_MAX).tensor().data(), "ends at byte");
  says(File().head().architecture().tensor("blk.0.weight").data(),
       "tensor 'blk.0.weight' is no part of a control vector");
  says(File().head().architecture().tensor("direction.").data(), "expected names such as 'direction.3'");
  says(File()
           .head()
           .architecture()
           .text("direction.1")
           .number<std::uint32_t>(2)
           .number<std::uint64_t>(2)
           .number<std::uint64_t>(2)
           .number<std::uint32_t>(0)
           .number<std::uint64_t>(0)
           .data(),
       "has 2 dimensions");
  says(File().head().architecture().tensor("direction.1", 4, 0, 2).data(), "is of type 2; expected F32 (0) or F16 (1)");
  says(File().head().architecture().tensor("direction.1", 0).data(), "is 0 wide");
  says(File().head().architecture().tensor("direction.1", 4, 8).data(24), "not at a multiple of 32");
  says(File().head().architecture().tensor().data(15), "reaches beyond the end of the file");
  says(File().head().architecture().tensor("direction.1", UINT64_MAX / 2).data(), "reaches beyond the end of the file");
  says(File().head().architecture().tensor("direction.1", 4, UINT64_MAX - 31).data(),
       "reaches beyond the end of the file");
  says(File().head(2).architecture().tensor().tensor("direction.1", 4, 32).data(48),
       "tensor 'direction.1' is there twice");
  says(File().head(2).architecture().tensor().tensor("direction.2", 3, 32).data(48),
       "tensor 'direction.2' is 3 wide, tensor 'direction.1' 4");
  says(File().head(0).architecture().data(), "has no directions");
  EXPECT_THAT(io_error([&] { read_control_vector(folder / "absent.gguf"); }), HasSubstr("absent.gguf"));
}

TEST(ControlVector, SaysWhatCannotBeWritten) {
  const TestFolder folder;
  const auto says = [&](const ControlVector& vector, const std::string& what) {
    EXPECT_THAT(io_error([&] { write_control_vector(folder / "v.gguf", vector); }), HasSubstr(what));
  };
  says({}, "needs at least one direction");
  says({"", {{0, direction(0)}}}, "the direction of layer 0 cannot be written: the format counts layers from 1");
  says({"", {{1, direction(1)}, {2, torch::zeros({5})}}}, "the direction of layer 2 is not [6]");
  EXPECT_EQ(folder.entries(), 0U);
}

TEST(ControlVector, NoDamageToAFileDoesMoreThanAnError) {
  const TestFolder folder;
  std::mt19937_64 random(3);
  int refused = 0;
  for (const char* name : {"control_vector.gguf", "control_vector_extra.gguf"}) {
    const std::string good = read_file(golden_file(name));
    for (int round = 0; round < 1500; ++round) {
      try {
        read_control_vector(folder.write("v.gguf", damaged(good, random)));
      } catch (const vene::IoError&) {
        ++refused;
      }
    }
    for (std::size_t size = 0; size < good.size(); ++size) {
      // The last bytes of the longest cut may be padding.
      try {
        read_control_vector(folder.write("v.gguf", good.substr(0, size)));
      } catch (const vene::IoError&) {
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 1000);
}

}  // namespace
