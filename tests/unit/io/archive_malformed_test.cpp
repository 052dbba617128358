// SPDX-License-Identifier: Apache-2.0
#include <caffe2/serialize/inline_container.h>

#include <chrono>

#include "helpers.h"
#include "vene/io/files.h"
#include "vene/io/torch_archive.h"

namespace {

using namespace std::string_literals;
using namespace vene_test;
using namespace vene::io;
using testing::HasSubstr;

constexpr char kStart[] = "\x80\x02";

std::string text(const std::string& value) {
  return "X"s + static_cast<char>(value.size()) + "\0\0\0"s + value;
}
std::string global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
std::string integer(std::int32_t value) {
  std::string bytes(5, 'J');
  std::memcpy(bytes.data() + 1, &value, 4);
  return bytes;
}
// A storage of 4 floats under key "0", as torch.save names it.
std::string storage(const std::string& key = "0", std::int32_t count = 4, const std::string& type = "FloatStorage") {
  return "(" + text("storage") + global("torch", type) + text(key) + text("cpu") + integer(count) + "tQ";
}
std::string tensor(const std::string& offset, const std::string& shape, const std::string& strides,
                   const std::string& from = storage()) {
  return global("torch._utils", "_rebuild_tensor_v2") + "(" + from + offset + shape + strides + "\x89" +
         global("collections", "OrderedDict") + ")RtR";
}
std::string tuple(const std::vector<std::int32_t>& items) {
  std::string bytes = "(";
  for (const std::int32_t item : items) bytes += integer(item);
  return bytes + "t";
}
std::string repeated(const std::string& piece, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += piece;
  return all;
}

class Handmade : public testing::Test {
 protected:
  std::string archive(const std::string& pickle, const std::map<std::string, std::string>& more = {}) const {
    const std::string path = folder / "archive.pt";
    caffe2::serialize::PyTorchStreamWriter writer(path);
    const std::array<float, 4> data{1, 2, 3, 4};
    writer.writeRecord("data.pkl", pickle.data(), pickle.size(), /*compress=*/pickle.size() > 10'000);
    writer.writeRecord("data/0", data.data(), sizeof data);
    for (const auto& [name, bytes] : more) writer.writeRecord(name, bytes.data(), bytes.size());
    writer.writeEndOfFile();
    return path;
  }
  ArchiveValue read(const std::string& body) const { return read_archive(archive(kStart + body + ".")); }
  std::string refusal(const std::string& body) const {
    return io_error([&] { read(body); });
  }
  TestFolder folder;
};

TEST_F(Handmade, ATensorIsReadSoThatTheRefusalsBelowMeanSomething) {
  const ArchiveValue value = read(tensor("K\1", tuple({3}), tuple({1})));
  EXPECT_TRUE(std::get<torch::Tensor>(value.value).equal(torch::tensor({2.0F, 3.0F, 4.0F})));
}

TEST_F(Handmade, AnyOtherGlobalIsRefusedByItsName) {
  EXPECT_THAT(refusal(global("os", "system") + text("true") + "\x85R"), HasSubstr("'os.system', which is refused"));
  EXPECT_THAT(refusal(text("subprocess") + text("Popen") + "\x93"), HasSubstr("'subprocess.Popen'"));
  EXPECT_THAT(refusal(global("builtins", "eval")), HasSubstr("'builtins.eval'"));
  EXPECT_THAT(refusal(global("torch", "load")), HasSubstr("'torch.load'"));
  EXPECT_THAT(refusal(global("o\x1b[31ms", "system")), HasSubstr("'o\\x1b[31ms.system'"));
  EXPECT_THAT(io_error([] { read_archive(golden_file("command.pt")); }), HasSubstr("'posix.system'"));
  EXPECT_FALSE(std::filesystem::exists("should_not_exist"));
}

TEST_F(Handmade, ATensorOutsideItsStorageIsRefused) {
  for (const std::string& body : {tensor("K\2", tuple({3}), tuple({1})), tensor("K\0"s, tuple({5}), tuple({1})),
                                  tensor("K\0"s, tuple({2}), tuple({4})), tensor("K\4", tuple({}), tuple({})),
                                  tensor("K\0"s, tuple({2, 2}), tuple({3, 1})),
                                  tensor("K\0"s, tuple({1 << 30, 1 << 30, 1 << 30}), tuple({1, 1, 1}))}) {
    EXPECT_THAT(refusal(body), HasSubstr("reaches beyond its storage of 4 elements"));
  }
  const std::string far = "\x8a\x08" + std::string(7, '\xff') + "\x7f";  // the largest 64-bit integer
  EXPECT_THAT(refusal(tensor(far, tuple({2}), tuple({1}))), HasSubstr("reaches beyond"));
  EXPECT_THAT(refusal(tensor("K\0"s, "(" + far + far + "t", "(" + far + far + "t")), HasSubstr("reaches beyond"));
  EXPECT_THAT(refusal(tensor("K\0"s, tuple({-1}), tuple({1}))), HasSubstr("not a whole number"));
  EXPECT_THAT(refusal(tensor("K\0"s, tuple({2}), tuple({-1}))), HasSubstr("not a whole number"));
  EXPECT_THAT(refusal(tensor(integer(-1), tuple({2}), tuple({1}))), HasSubstr("torch.save does not"));
  EXPECT_THAT(refusal(tensor("K\0"s, tuple({2}), tuple({1, 1}))), HasSubstr("strides"));
  EXPECT_THAT(refusal(tensor("K\0"s, tuple(std::vector<std::int32_t>(65, 1)), tuple(std::vector<std::int32_t>(65, 1)))),
              HasSubstr("at most 64"));
}

TEST_F(Handmade, AStorageOfTheWrongSizeOrNameIsRefused) {
  const auto with = [&](const std::string& from) { return refusal(tensor("K\0"s, tuple({1}), tuple({1}), from)); };
  EXPECT_THAT(with(storage("0", 5)), HasSubstr("holds 16 bytes, but 5 elements of Float are expected"));
  EXPECT_THAT(with(storage("0", 4, "DoubleStorage")), HasSubstr("holds 16 bytes"));
  EXPECT_THAT(with(storage("0", -4)), HasSubstr("torch.save does not"));
  EXPECT_THAT(with(storage("1")), HasSubstr("lacks the storage 'data/1'"));
  EXPECT_THAT(with(storage("../data.pkl")), HasSubstr("lacks the storage"));
  EXPECT_THAT(with(text("storage") + "Q"), HasSubstr("not a storage"));
  EXPECT_THAT(refusal("(" + storage() + storage("0", 2, "DoubleStorage") + "t"), HasSubstr("in two ways"));
  EXPECT_THAT(refusal("(" + storage() + storage("0", 2) + "t"), HasSubstr("in two ways"));
}

TEST_F(Handmade, ABoolStorageHoldsOnlyZerosAndOnes) {
  const std::string path =
      archive(kStart + tensor("K\0"s, tuple({4}), tuple({1}), storage("1", 4, "BoolStorage")) + ".",
              {{"data/1", "\0\1\2\xff"s}});
  const torch::Tensor bools = std::get<torch::Tensor>(read_archive(path).value);
  EXPECT_TRUE(bools.view(torch::kUInt8).equal(torch::tensor({0, 1, 1, 1}, torch::kUInt8)));
}

TEST_F(Handmade, GarbageIsRefused) {
  for (const std::string& body : {""s,
                                  "0"s,
                                  "t"s,
                                  "R"s,
                                  "NNR"s,
                                  "s"s,
                                  "}Ns"s,
                                  "N(NNu"s,
                                  "}(Nu"s,
                                  "a"s,
                                  "]e"s,
                                  "h\5"s,
                                  "j\1\0\0\0"s,
                                  "q\1"s,
                                  "X\xff\xff\xff\xffzz"s,
                                  "\x8d\xff\xff\xff\xff\xff\xff\xff\xff"s,
                                  "\x8a\x09"s + std::string(9, '\1'),
                                  "c"s,
                                  "cos"s,
                                  "\x93"s,
                                  "NN\x93"s,
                                  "Nb"s,
                                  "]Nb"s,
                                  "1"s,
                                  "2"s,
                                  "I1\n"s,
                                  "i"s,
                                  "o"s,
                                  "\x81"s,
                                  "\xff"s,
                                  "\x94"s,
                                  "(("s,
                                  "Q"s,
                                  "\x85"s,
                                  global("torch._utils", "_rebuild_tensor_v2") + ")R",
                                  global("torch._utils", "_rebuild_tensor_v3") + ")R",
                                  global("torch._utils", "_rebuild_parameter") + ")R",
                                  global("torch", "Size") + ")R",
                                  global("torch", "Size") + "K\1\x85R",
                                  global("torch", "float32") + ")R",
                                  global("collections", "OrderedDict") + "]K\1a\x85R",
                                  global("collections", "OrderedDict") + ")RNb0",
                                  global("builtins", "set") + ")R"}) {
    SCOPED_TRACE(testing::PrintToString(body));
    refusal(body);
  }
  EXPECT_THAT(io_error([&] { read_archive(archive("")); }), HasSubstr("protocol 2 to 5"));
  EXPECT_THAT(io_error([&] { read_archive(archive("\x80\x06N.")); }), HasSubstr("protocol 2 to 5"));
  EXPECT_THAT(io_error([&] { read_archive(archive("(lp0\n.")); }), HasSubstr("protocol 2 to 5"));
  EXPECT_THAT(io_error([&] { read_archive(archive(kStart + "N"s)); }), HasSubstr("was cut"));
}

TEST_F(Handmade, ContainersThatHoldThemselvesAreRefused) {
  EXPECT_THAT(refusal("]q\1h\1a"), HasSubstr("puts one into itself"));
  EXPECT_THAT(refusal("}q\1K\1h\1s"), HasSubstr("puts one into itself"));
  EXPECT_THAT(refusal("]q\1}q\2K\1h\1sa"s), HasSubstr("puts one into itself"));
  EXPECT_THAT(refusal("]2a"), HasSubstr("puts one into itself"));
}

TEST_F(Handmade, DeepNestingIsRefusedWithoutRunningOutOfStack) {
  EXPECT_THAT(refusal(repeated("]", 1'000'000) + repeated("a", 999'999)), HasSubstr("more than 64 deep"));
  EXPECT_THAT(refusal(")" + repeated("\x85", 1'000'000)), HasSubstr("more than 64 deep"));
}

TEST_F(Handmade, APickleThatUnfoldsWithoutEndIsRefused) {
  std::string doubled = "]q\0"s + "(K\1K\1e"s;
  for (char i = 1; i < 40; ++i)
    doubled += "]q"s + i + "(h"s + static_cast<char>(i - 1) + "h"s + static_cast<char>(i - 1) + "e"s;
  EXPECT_THAT(refusal(doubled), HasSubstr("values"));
  const std::string long_text = "X\0\0\x10\0"s + std::string(1 << 20, 'x');  // a text of 1 MiB, 20,000 times
  EXPECT_THAT(refusal("(" + long_text + "q\1" + repeated("h\1", 20'000) + "l"), HasSubstr("values"));
}

TEST_F(Handmade, AStateDictSaysWhatIsWrongWithItsEntries) {
  const auto says = [&](const std::string& body, const std::string& what) {
    EXPECT_THAT(io_error([&] { read_state_dict(archive(kStart + body + ".")); }), HasSubstr(what));
  };
  const std::string one = tensor("K\0"s, tuple({1}), tuple({1}));
  says("]", "holds a list, not a dict of tensors");
  says(one, "holds a tensor");
  says("}K\1" + one + "s", "an integer as a key");
  says("}(" + text("a") + one + text("a") + one + "u", "entry 'a' twice");
  says("}" + text("a") + "K\1s", "entry 'a' is an integer, not a tensor");
  says("}" + text("state_dict") + "Ns", "not a dict");
}

TEST_F(Handmade, AZipOfAnotherKindAndNoZipAreRefused) {
  {
    caffe2::serialize::PyTorchStreamWriter writer(folder / "other.pt");
    writer.writeRecord("something", "x", 1);
    writer.writeEndOfFile();
  }
  EXPECT_THAT(io_error([&] { read_archive(folder / "other.pt"); }), HasSubstr("has no data.pkl"));
  EXPECT_THAT(io_error([&] {
                read_archive(archive(kStart + "N."s, {{"byteorder", "big"}}));
              }),
              HasSubstr("big-endian"));
  EXPECT_THAT(
      io_error([&] { read_archive(folder.write("old.pt", "\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.")); }),
      HasSubstr("was cut"));
  EXPECT_THAT(io_error([&] { read_archive(folder.write("empty.pt", "")); }), HasSubstr("not a PyTorch archive"));
  EXPECT_THAT(io_error([&] { read_archive(folder.write("pk.pt", "PK")); }), HasSubstr("damaged archive"));
  EXPECT_THAT(io_error([&] { read_archive(folder.write("pk.pt", "PK\x05\x06" + std::string(18, '\0'))); }),
              HasSubstr("damaged archive"));
  EXPECT_THAT(io_error([&] { read_archive(folder / "absent.pt"); }), HasSubstr("No such file"));
  EXPECT_THAT(io_error([&] { read_archive(folder.write("lfs.bin", "version https://git-lfs.github.com/spec/v1\n")); }),
              HasSubstr("git lfs pull"));
}

// An archive from before PyTorch 1.6, with the pickles of a value and of the keys of its storages, and the storages.
std::string legacy(const std::string& value, const std::string& keys, const std::string& storages,
                   const std::string& version = "M\xe9\x03", const std::string& machine = "}") {
  const std::string start = kStart;
  return start + "\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19." + start + version + "." + start + machine + "." +
         start + value + "." + start + keys + "." + storages;
}
std::string legacy_storage(std::int32_t count, const std::string& view = "N", const std::string& key = "k") {
  return "(" + text("storage") + global("torch", "FloatStorage") + text(key) + text("cpu") + integer(count) + view +
         "tQ";
}
std::string elements(std::int64_t count, std::int64_t declared) {
  std::string bytes(8 + 4 * static_cast<std::size_t>(count), '\0');
  std::memcpy(bytes.data(), &declared, 8);
  for (std::int64_t i = 0; i < count; ++i) {
    const auto number = static_cast<float>(i + 1);
    std::memcpy(bytes.data() + 8 + 4 * i, &number, 4);
  }
  return bytes;
}

TEST_F(Handmade, AnArchiveFromBeforePyTorch16SaysWhatIsWrongWithIt) {
  const auto read = [&](const std::string& bytes) { return read_archive(folder.write("old.pt", bytes)); };
  const std::string keys = "(" + text("k") + "l", two = tensor("K\0"s, tuple({2}), tuple({1}), legacy_storage(2)),
                    part = tensor("K\0"s, tuple({2}), tuple({1}), legacy_storage(4, "(" + text("v") + "K\1K\2t"));
  EXPECT_TRUE(
      torch::equal(std::get<torch::Tensor>(read(legacy(two, keys, elements(2, 2))).value), torch::tensor({1.F, 2.F})));
  EXPECT_TRUE(
      torch::equal(std::get<torch::Tensor>(read(legacy(part, keys, elements(4, 4))).value), torch::tensor({2.F, 3.F})));
  const auto says = [&](const std::string& bytes, const std::string& what) {
    EXPECT_THAT(io_error([&] { read(bytes); }), HasSubstr(what));
  };
  says(legacy(two, keys, elements(2, 3)), "storage 'k' holds 3 elements, but 2 are expected");
  says(legacy(two, keys, elements(1, 2)), "was cut: the storage 'k' has 4 of its 8 bytes");
  says(legacy(two, keys, "abc"), "was cut: the storage 'k' is missing");
  says(legacy(two, "]", ""), "has tensors whose storage it does not list");
  says(legacy(two, "N", ""), "does not list its storages");
  says(legacy(two, "(" + text("other") + "l", elements(2, 2)), "lists a storage that nothing in it uses");
  says(legacy(two, "(" + text("k") + text("k") + "l", elements(2, 2) + elements(2, 2)), "lists the storage 'k' twice");
  says(legacy(two, keys, elements(2, 2), "K\1"), "of another version than 1001");
  says(legacy(two, keys, elements(2, 2), "M\xe9\x03", "(" + text("little_endian") + "\x89" + "d"), "big-endian");
  says(legacy(tensor("K\0"s, tuple({2}), tuple({1}), legacy_storage(1 << 30)), keys, elements(2, 2)),
       "was cut: the storage 'k' of 1073741824 elements is larger than what is left of the file");
  says(legacy("(" + two + tensor("K\0"s, tuple({2}), tuple({1}), legacy_storage(3)) + "l", keys, elements(2, 2)),
       "describes the storage 'k' in two ways");
  says(legacy(tensor("K\0"s, tuple({2}), tuple({1}), legacy_storage(2, "(" + text("v") + "K\1K\2t")), keys,
              elements(2, 2)),
       "describes a storage in a way torch.save does not");
  says(legacy(tensor("K\0"s, tuple({2}), tuple({1}), storage()), keys, elements(2, 2)), "refers to something outside");
  says(legacy(global("os", "system"), keys, ""), "names the global 'os.system', which is refused");
}

TEST_F(Handmade, AnArchiveFromBeforePyTorch16CutAnywhereIsRefused) {
  const std::string bytes = read_file(golden_file("legacy_views.pt"));
  for (std::size_t size = 0; size < bytes.size(); size += 13) {
    SCOPED_TRACE(size);
    io_error([&] { read_archive(folder.write("cut.pt", bytes.substr(0, size))); });
  }
}

TEST_F(Handmade, AnArchiveCutAnywhereIsRefused) {
  const std::string bytes = read_file(golden_file("views.pt"));
  for (std::size_t size = 0; size < bytes.size(); size += 61) {
    const std::string path = folder.write("cut.pt", bytes.substr(0, size));
    io_error([&] { read_archive(path); });
  }
}

void touch(const ArchiveValue& value) {
  if (const auto* tensor = std::get_if<torch::Tensor>(&value.value)) {
    if (tensor->numel() < 1'000'000) tensor->clone();
  } else if (const auto* list = std::get_if<ArchiveValue::List>(&value.value)) {
    for (const ArchiveValue& item : *list) touch(item);
  } else if (const auto* dict = std::get_if<ArchiveValue::Dict>(&value.value)) {
    for (const auto& [key, item] : *dict) touch(item);
  }
}

TEST_F(Handmade, DamagedArchivesAreReadOrRefusedAndNeverMore) {
  std::mt19937_64 random(11);
  for (const char* name : {"views.pt", "dtypes.pt", "containers_4.pt"}) {
    const std::string bytes = read_file(golden_file(name));
    for (int round = 0; round < 250; ++round) {
      const std::string path = folder.write("damaged.pt", damaged(bytes, random));
      try {
        touch(read_archive(path));
      } catch (const vene::IoError&) {
      }
    }
  }
}

// The zip's checksums catch most damage above; here the pickle itself is damaged and the zip is whole.
TEST_F(Handmade, DamagedPicklesAreReadOrRefusedAndNeverMore) {
  std::mt19937_64 random(13);
  const std::string body = kStart + "}("s + text("a") + tensor("K\1", tuple({3}), tuple({1})) + text("b") +
                           "](K\1K\2e" + text("c") + tensor("K\0"s, tuple({2, 2}), tuple({1, 2})) + "u.";
  int refused = 0, read = 0;
  for (int round = 0; round < 1500; ++round) {
    const std::string path = archive(damaged(body, random));
    try {
      touch(read_archive(path));
      ++read;
    } catch (const vene::IoError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 500);
  EXPECT_GT(read, 5);
}

}  // namespace
