// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include <cstring>

#include "helpers.h"
#include "vene/io/files.h"
#include "vene/io/safetensors.h"

namespace {

using namespace vene_test;
using namespace vene::io;
using testing::HasSubstr;

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return "\"" + name + R"(":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

struct Bad {
  const char* name;
  std::string bytes, says;
};

std::vector<Bad> bad_files() {
  const std::string good = "{" + entry("a", "F32", "[2]", "[0,8]") + "}";
  const auto header = [](const std::string& text, std::size_t data = 8) {
    return safetensors_bytes("{" + text + "}", data);
  };
  std::string far = safetensors_bytes(good, 8), vast = far, huge = safetensors_bytes(std::string(100'000'001, ' '), 0);
  const std::uint64_t beyond = 10'000, most = UINT64_MAX;
  std::memcpy(far.data(), &beyond, 8);
  std::memcpy(vast.data(), &most, 8);
  return {
      {"Empty", "", "only 0 bytes"},
      {"SevenBytes", "1234567", "only 7 bytes"},
      {"HeaderBeyondTheFile", far, "says that its header takes 10000 bytes"},
      {"HeaderOf64Bits", vast, "18446744073709551615"},
      {"HugeHeader", huge, "at most 100000000"},
      {"HeaderOfNothing", safetensors_bytes("", 0), "does not start with '{'"},
      {"CutData", safetensors_bytes(good, 7), "it was cut or is damaged"},
      {"BytesLeftOver", safetensors_bytes(good, 9), "holds 9 bytes of data, but its tensors take 8"},
      {"Overlap", header(entry("a", "U8", "[5]", "[0,5]") + "," + entry("b", "U8", "[4]", "[4,8]")),
       "overlaps tensor 'a'"},
      {"Hole", header(entry("a", "U8", "[3]", "[0,3]") + "," + entry("b", "U8", "[4]", "[4,8]")), "starts at byte 4"},
      {"HoleInFront", header(entry("a", "U8", "[7]", "[1,8]")), "starts at byte 1"},
      {"WrongSizeForShape", header(entry("a", "F32", "[3]", "[0,8]")), "needs 12 bytes, but has 8"},
      {"EndBeforeBegin", header(entry("a", "U8", "[0]", "[8,0]")), "end before its begin"},
      {"UnknownDtype", header(entry("a", "F33", "[2]", "[0,8]")), "'F33'"},
      {"ShapeTooLarge", header(entry("a", "F32", "[9223372036854775807,9223372036854775807]", "[0,8]")),
       "too large for 64 bits"},
      {"ZeroShapeTooLarge", header(entry("a", "F32", "[0,9223372036854775807,9223372036854775807]", "[0,0]"), 0),
       "too large for 64 bits"},
      {"BytesTooMany", header(entry("a", "F32", "[4611686018427387904]", "[0,8]")), "too large for 64 bits"},
      {"OffsetOf64Bits", header(entry("a", "F32", "[2]", "[0,18446744073709551615]")), "more than 63 bits"},
      {"NegativeShape", header(entry("a", "F32", "[-2]", "[0,8]")), "a negative number"},
      {"FractionalShape", header(entry("a", "F32", "[2.0]", "[0,8]")), "a fraction"},
      {"NestedShape", header(entry("a", "F32", "[[2]]", "[0,8]")), "a list"},
      {"ShapeIsNumber", header(entry("a", "F32", "2", "[0,8]")), "flat list"},
      {"SixtyFiveDimensions",
       header(entry(
           "a", "F32",
           "[2" +
               [] {
                 std::string ones;
                 for (int i = 0; i < 64; ++i) ones += ",1";
                 return ones;
               }() +
               "]",
           "[0,8]")),
       "more than 64"},
      {"OneOffset", header(entry("a", "F32", "[2]", "[8]")), "must be two numbers"},
      {"ThreeOffsets", header(entry("a", "F32", "[2]", "[0,8,8]")), "more than 2"},
      {"NoDtype", header(R"("a":{"shape":[2],"data_offsets":[0,8]})"), "lacks \"dtype\""},
      {"NoShape", header(R"("a":{"dtype":"F32","data_offsets":[0,8]})"), "lacks \"shape\""},
      {"DtypeTwice", header(R"("a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]})"), "twice"},
      {"NameTwice", header(entry("a", "U8", "[4]", "[0,4]") + "," + entry("a", "U8", "[4]", "[4,8]")),
       "has the tensor 'a' twice"},
      {"MetadataTwice", header(R"("__metadata__":{},"__metadata__":{})", 0), "twice"},
      {"MetadataNotStrings", header(R"("__metadata__":{"a":1})", 0), "not an object of strings"},
      {"MetadataNotObject", header(R"("__metadata__":"a")", 0), "not an object of strings"},
      {"EntryIsNumber", header(R"("a":3)", 0), "not an object"},
      {"EntryIsList", header(R"("a":[])", 0), "not an object"},
      {"BadJson", safetensors_bytes("{\"a\":", 0), "not valid JSON"},
      {"TwoValues", safetensors_bytes("{} {}", 0), "not valid JSON"},
      {"NotUtf8", safetensors_bytes("{\"\xff\xfe\":{}}", 0), "not valid JSON"},
      {"DeepLists", safetensors_bytes("{\"a\":{\"x\":" + std::string(1'000'000, '['), 0), "not valid JSON"},
      {"DeepObjects",
       safetensors_bytes(
           [] {
             std::string deep = "{\"a\":{\"x\":";
             for (int i = 0; i < 200'000; ++i) deep += "{\"x\":";
             return deep;
           }(),
           0),
       "not valid JSON"},
      {"LfsPointer", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"},
      {"TextFile", "This is not a checkpoint at all.", "no safetensors file"},
  };
}

class Malformed : public testing::TestWithParam<Bad> {};

TEST_P(Malformed, IsRefusedWithItsCause) {
  const TestFolder folder;
  const std::string path = folder.write("bad.safetensors", GetParam().bytes);
  EXPECT_THAT(io_error([&] { Safetensors::open(path); }),
              AllOf(HasSubstr("bad.safetensors"), HasSubstr(GetParam().says)));
}

INSTANTIATE_TEST_SUITE_P(Safetensors, Malformed, testing::ValuesIn(bad_files()),
                         [](const auto& info) { return info.param.name; });

TEST(MalformedSafetensors, UnknownFieldsArePassedOver) {
  const TestFolder folder;
  const std::string path = folder.write(
      "x.safetensors",
      safetensors_bytes(
          R"({"a":{"dtype":"U8","x":{"y":[{"z":[1,null]}],"dtype":3},"shape":[2],"data_offsets":[0,2]}}   )", 2));
  EXPECT_EQ(Safetensors::open(path).tensor("a").numel(), 2);
}

TEST(MalformedSafetensors, AFolderAPipeAndAMissingFileAreRefused) {
  const TestFolder folder;
  EXPECT_THAT(io_error([&] { Safetensors::open(folder.path()); }), HasSubstr("is a folder"));
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(io_error([&] { Safetensors::open(folder / "pipe"); }), HasSubstr("not a regular file"));
  EXPECT_THAT(io_error([&] { Safetensors::open(folder / "absent"); }), HasSubstr("No such file"));
}

TEST(MalformedSafetensors, AHeaderCutAnywhereIsRefused) {
  const TestFolder folder;
  const std::string bytes = read_file(golden_file("reference_writer.safetensors"));
  for (std::size_t size = 0; size < bytes.size(); size += 7) {
    const std::string path = folder.write("cut.safetensors", bytes.substr(0, size));
    io_error([&] { Safetensors::open(path); });
  }
}

TEST(MalformedSafetensors, DamagedFilesAreReadOrRefusedAndNeverMore) {
  const TestFolder folder;
  const std::string bytes = read_file(golden_file("reference_writer.safetensors"));
  std::mt19937_64 random(7);
  int refused = 0, read = 0;
  for (int round = 0; round < 1000; ++round) {
    const std::string path = folder.write("damaged.safetensors", damaged(bytes, random));
    try {
      for (const auto& [name, tensor] : read_tensors(path)) tensor.clone();
      ++read;
    } catch (const vene::IoError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 300);
  EXPECT_GT(read, 20);
}

}  // namespace
