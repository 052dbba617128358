// SPDX-License-Identifier: Apache-2.0
// Small files that would buy gigabytes or minutes are refused by what they declare, before anything is made. Each is
// read in a process of its own that may take little memory and time.
#include <caffe2/serialize/inline_container.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include <cstring>
#include <fstream>

#include "helpers.h"
#include "vene/io/gguf.h"
#include "vene/io/npz.h"
#include "vene/io/torch_archive.h"

namespace {

using namespace std::string_literals;
using namespace vene_test;
using namespace vene::io;
using testing::HasSubstr;

constexpr std::size_t kMebibyte = std::size_t{1} << 20;
constexpr std::size_t kMemory = 400 * kMebibyte;
constexpr unsigned kSeconds = 60;  // for a busy machine with sanitizers; the reading itself takes milliseconds

std::size_t address_space() {
  std::ifstream file("/proc/self/statm");
  std::size_t pages = 0;
  file >> pages;
  return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

// What the IoError of `call` says, in a child of little memory; "read" where it threw none.
template <class Call>
std::string refusal_in_little_memory(Call&& call) {
  int ends[2];
  if (::pipe(ends) != 0) return "no pipe";
  const pid_t child = ::fork();
  if (child == 0) {
    std::string said = "read";
#if !defined(__SANITIZE_ADDRESS__)
    const rlimit limit{address_space() + kMemory, RLIM_INFINITY};
    ::setrlimit(RLIMIT_AS, &limit);
#endif
    ::alarm(kSeconds);
    try {
      call();
    } catch (const vene::IoError& error) {
      said = error.what();
    } catch (const std::exception& error) {
      said = "not an IoError: "s + error.what();
    }
    [[maybe_unused]] const ssize_t written = ::write(ends[1], said.data(), said.size());
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string said;
  char piece[512];
  for (ssize_t count; (count = ::read(ends[0], piece, sizeof piece)) > 0;)
    said.append(piece, static_cast<std::size_t>(count));
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? "ended by signal " + std::to_string(WTERMSIG(status)) : said;
}

std::string text(const std::string& value) {
  return "X"s + static_cast<char>(value.size()) + "\0\0\0"s + value;
}
std::string integer(std::int64_t value) {
  std::string bytes = "\x8a\x08"s + std::string(8, '\0');
  std::memcpy(bytes.data() + 2, &value, 8);
  return bytes;
}
std::string tuple(const std::vector<std::int64_t>& items) {
  std::string bytes = "(";
  for (const std::int64_t item : items) bytes += integer(item);
  return bytes + "t";
}
std::string global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}

// A state dict of one tensor over a storage of 4 floats.
std::string stretched(const std::vector<std::int64_t>& shape, const std::vector<std::int64_t>& strides,
                      int tensors = 1) {
  std::string pickle = "\x80\x02}(";
  for (int i = 0; i < tensors; ++i) {
    pickle += text("t" + std::to_string(i)) + global("torch._utils", "_rebuild_tensor_v2") + "((" + text("storage") +
              global("torch", "FloatStorage") + text("0") + text("cpu") + "K\4tQ" + "K\0"s + tuple(shape) +
              tuple(strides) + "\x89" + global("collections", "OrderedDict") + ")RtR";
  }
  return pickle + "u.";
}

void write_archive(const std::string& path, const std::string& pickle, bool packed = false) {
  caffe2::serialize::PyTorchStreamWriter writer(path);
  const std::array<float, 4> data{1, 2, 3, 4};
  writer.writeRecord("data.pkl", pickle.data(), pickle.size(), packed);
  writer.writeRecord("data/0", data.data(), sizeof data);
  writer.writeEndOfFile();
}

TEST(Hostile, TensorsThatStretchAFewValuesAreRefused) {
  const TestFolder folder;
  const auto read = [&](const std::vector<std::int64_t>& shape, const std::vector<std::int64_t>& strides, int tensors) {
    write_archive(folder / "a.bin", stretched(shape, strides, tensors));
    return refusal_in_little_memory([&] {
      for (const auto& [name, tensor] : read_state_dict(folder / "a.bin")) (void)tensor.clone();
    });
  };
  const std::string refused = "has tensors that stretch to more than ";
  EXPECT_THAT(read({std::int64_t{1} << 62}, {0}, 1), HasSubstr(refused));
  EXPECT_THAT(read({std::int64_t{1} << 31, 1}, {0, 1}, 1), HasSubstr(refused));
  EXPECT_THAT(read({44000, 44000}, {0, 0}, 1), HasSubstr(refused));
  EXPECT_THAT(read({1 << 18}, {0}, 200), HasSubstr(refused));
  EXPECT_EQ(read({100, 4}, {0, 1}, 3), "read") << "an expanded tensor is one that torch.save writes";
}

TEST(Hostile, APickleThatCopiesOneListAgainAndAgainIsRefused) {
  const TestFolder folder;
  std::string pickle = "\x80\x02](";
  for (int i = 0; i < 30'000; ++i) pickle += "N";
  pickle += "eq\1" + global("builtins", "set") + "q\2" + "00";
  for (int i = 0; i < 50'000; ++i) pickle += "h\2h\1\x85R0";
  write_archive(folder / "a.pt", pickle + "N.");
  EXPECT_THAT(refusal_in_little_memory([&] { read_archive(folder / "a.pt"); }),
              HasSubstr("copies one list again and again"));
}

TEST(Hostile, ARecordThatUnfoldsToGigabytesIsRefused) {
  const TestFolder folder;
  // 300 MiB of None, packed into some 300 KiB; gigabytes would only make the test slow.
  write_archive(folder / "a.pt", "\x80\x02" + std::string(300 * kMebibyte, 'N') + ".", /*packed=*/true);
  EXPECT_LT(std::filesystem::file_size(folder / "a.pt"), kMebibyte);
  EXPECT_THAT(refusal_in_little_memory([&] { read_archive(folder / "a.pt"); }),
              HasSubstr("would unfold to more than "));
}

std::string little(std::uint64_t value, int size) {
  std::string bytes;
  for (int i = 0; i < size; ++i) bytes += static_cast<char>(value >> (8 * i) & 255);
  return bytes;
}

// Raw deflate, as zip files have it.
std::string deflated(const std::string& plain) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 9, Z_DEFAULT_STRATEGY);
  std::string packed(compressBound(plain.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

// An .npz whose members all share the bytes of the first.
std::string shared_npz(std::uint64_t values, int members) {
  const std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + std::to_string(values) + ",), }";
  const std::string array = "\x93NUMPY\1\0"s + little(header.size(), 2) + header + std::string(values * 4, '\0');
  const std::string packed = deflated(array);
  const std::string sizes = little(0, 4) + little(packed.size(), 4) + little(array.size(), 4);
  std::string file = "PK\3\4"s + little(20, 2) + little(0, 2) + little(8, 2) + little(0, 4) + sizes + little(5, 2) +
                     little(0, 2) + "a.npy" + packed;
  const std::size_t begin = file.size();
  for (int i = 0; i < members; ++i) {
    const std::string name = "m" + std::to_string(i) + ".npy";
    file += "PK\1\2"s + little(20, 2) + little(20, 2) + little(0, 2) + little(8, 2) + little(0, 4) + sizes +
            little(name.size(), 2) + little(0, 8) + little(0, 4) + little(0, 4) + name;
  }
  return file + "PK\5\6"s + little(0, 4) + little(static_cast<std::uint64_t>(members), 2) +
         little(static_cast<std::uint64_t>(members), 2) + little(file.size() - begin, 4) + little(begin, 4) +
         little(0, 2);
}

TEST(Hostile, MembersOfAnNpzThatShareTheirBytesAreRefused) {
  const TestFolder folder;
  folder.write("one.npz", shared_npz(1 << 20, 1));
  EXPECT_EQ(read_npz(folder / "one.npz").at(0).second.numel(), 1 << 20);
  folder.write("many.npz", shared_npz(1 << 20, 1000));
  EXPECT_LT(std::filesystem::file_size(folder / "many.npz"), kMebibyte / 8);
  EXPECT_THAT(refusal_in_little_memory([&] { read_npz(folder / "many.npz"); }),
              HasSubstr("would unfold to more than "));
}

TEST(Hostile, DirectionsThatOverlapAreRefused) {
  const TestFolder folder;
  constexpr std::uint64_t kWidth = 1 << 18, kDirections = 2000;
  const auto named = [](const std::string& name) { return little(name.size(), 8) + name; };
  const auto vector = [&](std::uint64_t directions, std::uint64_t step) {
    std::string file = "GGUF" + little(3, 4) + little(directions, 8) + little(1, 8) + named("general.architecture") +
                       little(8, 4) + named("controlvector");
    for (std::uint64_t i = 1; i <= directions; ++i)
      file += named("direction." + std::to_string(i)) + little(1, 4) + little(kWidth, 8) + little(0, 4) +
              little((i - 1) * step, 8);
    file.append((32 - file.size() % 32) % 32, '\0');
    return file + std::string(kWidth * 4 + (directions - 1) * step, '\0');
  };
  folder.write("apart.gguf", vector(2, kWidth * 4));
  EXPECT_EQ(read_control_vector(folder / "apart.gguf").directions.size(), 2U);
  for (const std::uint64_t step : {0, 32}) {
    folder.write("v.gguf", vector(kDirections, step));
    EXPECT_THAT(refusal_in_little_memory([&] { read_control_vector(folder / "v.gguf"); }),
                HasSubstr("' overlaps tensor 'direction."));
  }
}

}  // namespace
