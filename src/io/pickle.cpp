// SPDX-License-Identifier: Apache-2.0
#include "src/io/pickle.h"

#include <bit>
#include <cstring>
#include <optional>
#include <unordered_map>

#include "src/io/failure.h"

namespace vene::io {
namespace {

using List = PickleValue::List;
using Dict = PickleValue::Dict;

// The opcodes, named as in Python's Lib/pickle.py.
enum Opcode : unsigned char {
  kMark = '(',
  kStop = '.',
  kPop = '0',
  kPopMark = '1',
  kDup = '2',
  kBinFloat = 'G',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kNone = 'N',
  kBinPersid = 'Q',
  kReduce = 'R',
  kBinString = 'T',
  kShortBinString = 'U',
  kBinUnicode = 'X',
  kAppend = 'a',
  kBuild = 'b',
  kGlobal = 'c',
  kDict = 'd',
  kEmptyDict = '}',
  kAppends = 'e',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kList = 'l',
  kEmptyList = ']',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kSetItem = 's',
  kTuple = 't',
  kEmptyTuple = ')',
  kSetItems = 'u',
  kProto = 0x80,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kLong1 = 0x8a,
  kLong4 = 0x8b,
  kShortBinUnicode = 0x8c,
  kBinUnicode8 = 0x8d,
  kEmptySet = 0x8f,
  kAddItems = 0x90,
  kFrozenSet = 0x91,
  kStackGlobal = 0x93,
  kMemoize = 0x94,
  kFrame = 0x95
};

class Machine {
 public:
  Machine(const std::string& path, std::string_view bytes, const PickleHost& host, PickleArena& arena)
      : path_(path), bytes_(bytes), host_(host), arena_(arena) {}

  PickleValue run() {
    if (bytes_.size() < 2 || byte_at(0) != kProto || byte_at(1) < 2 || byte_at(1) > 5) {
      refuse("is not a pickle of protocol 2 to 5");
    }
    for (;;) {
      const unsigned char opcode = number<unsigned char>();
      if (opcode == kStop) return pop();
      step(opcode);
    }
  }
  std::size_t used() const { return at_; }

 private:
  [[noreturn]] void refuse(const std::string& what) const { fail(path_, "holds a pickle that " + what); }
  [[noreturn]] void malformed() const { refuse("is malformed (near its byte " + std::to_string(at_) + ")"); }
  unsigned char byte_at(std::size_t i) const { return static_cast<unsigned char>(bytes_[i]); }

  std::string_view take(std::uint64_t count) {
    if (count > bytes_.size() - at_) refuse("was cut: its data end in the middle of a value");
    const std::string_view taken = bytes_.substr(at_, count);
    at_ += count;
    return taken;
  }
  template <class T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  std::string_view line() {
    const std::size_t end = bytes_.find('\n', at_);
    if (end == std::string_view::npos) malformed();
    const std::string_view text = take(end - at_);
    ++at_;
    return text;
  }
  // Two's complement, little-endian, of any length; what fits 64 bits is taken.
  std::int64_t long_integer(std::uint64_t length) {
    const std::string_view digits = take(length);
    if (length > 8) refuse("holds an integer of more than 64 bits");
    std::uint64_t value = length > 0 && (digits.back() & 0x80) ? ~std::uint64_t{0} : 0;
    for (std::size_t i = digits.size(); i-- > 0;) value = value << 8 | static_cast<unsigned char>(digits[i]);
    return static_cast<std::int64_t>(value);
  }
  double big_endian_double() {
    auto bits = number<std::uint64_t>();
    bits = __builtin_bswap64(bits);
    return std::bit_cast<double>(bits);
  }

  void push(PickleValue value) {
    if (++made_ > kMostPickleValues) refuse("makes more than " + std::to_string(kMostPickleValues) + " values");
    stack_.push_back(std::move(value));
  }
  std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  PickleValue pop() {
    if (stack_.size() <= floor()) malformed();
    PickleValue value = std::move(stack_.back());
    stack_.pop_back();
    return value;
  }
  PickleValue& top() {
    if (stack_.size() <= floor()) malformed();
    return stack_.back();
  }
  std::vector<PickleValue> pop_to_mark() {
    if (marks_.empty()) malformed();
    const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<PickleValue> items(std::make_move_iterator(begin), std::make_move_iterator(stack_.end()));
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return items;
  }
  void push_list(List::Kind kind, std::vector<PickleValue> items) {
    push({&arena_.lists.emplace_back(List{kind, std::move(items)})});
  }
  void push_tuple(std::size_t count) {
    std::vector<PickleValue> items(count);
    for (std::size_t i = count; i-- > 0;) items[i] = pop();
    push_list(List::Kind::kTuple, std::move(items));
  }
  List& list_on_top(List::Kind kind) {
    auto* list = std::get_if<List*>(&top().value);
    if (!list || (*list)->kind != kind) malformed();
    return **list;
  }
  Dict& dict_on_top() {
    auto* dict = std::get_if<Dict*>(&top().value);
    if (!dict) malformed();
    return **dict;
  }
  void set_items(std::vector<PickleValue> items) {
    if (items.size() % 2 != 0) malformed();
    Dict& dict = dict_on_top();
    for (std::size_t i = 0; i < items.size(); i += 2)
      dict.items.emplace_back(std::move(items[i]), std::move(items[i + 1]));
  }
  void add_to(List::Kind kind, std::vector<PickleValue> items) {
    List& list = list_on_top(kind);
    std::move(items.begin(), items.end(), std::back_inserter(list.items));
  }
  void push_global(std::string_view module, std::string_view attribute) {
    const std::string name = std::string(module) + "." + std::string(attribute);
    if (!host_.allowed(name))
      refuse("names the global " + in_quotes(name) + ", which is refused: only tensors and plain containers are read");
    push({PickleValue::Global{name}});
  }
  void reduce() {
    const PickleValue arguments = pop();
    const PickleValue callee = pop();
    const auto* global = callee.get<PickleValue::Global>();
    const auto* items = arguments.items();
    if (!global || !items) malformed();
    std::optional<PickleValue> result = host_.call(global->name, *items);
    if (!result) refuse("calls " + in_quotes(global->name) + " in a way that is not a tensor's or a container's");
    push(std::move(*result));
  }
  // The state of an object: an OrderedDict may carry attributes (a state dict's _metadata), which nobody needs.
  void build() {
    pop();
    if (!top().get<Dict*>()) refuse("sets attributes of something that is not a dict");
  }
  void remember(std::uint64_t index) { memo_[index] = top(); }
  void recall(std::uint64_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) malformed();
    push(found->second);
  }

  void step(unsigned char opcode) {
    switch (opcode) {
      case kProto:
        take(1);
        break;
      case kFrame:
        take(8);
        break;
      case kMark:
        marks_.push_back(stack_.size());
        break;
      case kPop:
        pop();
        break;
      case kPopMark:
        pop_to_mark();
        break;
      case kDup:
        push(top());
        break;
      case kNone:
        push({});
        break;
      case kNewTrue:
        push({true});
        break;
      case kNewFalse:
        push({false});
        break;
      case kBinInt:
        push({std::int64_t{number<std::int32_t>()}});
        break;
      case kBinInt1:
        push({std::int64_t{number<std::uint8_t>()}});
        break;
      case kBinInt2:
        push({std::int64_t{number<std::uint16_t>()}});
        break;
      case kLong1:
        push({long_integer(number<std::uint8_t>())});
        break;
      case kLong4:
        push({long_integer(number<std::uint32_t>())});
        break;
      case kBinFloat:
        push({big_endian_double()});
        break;
      case kShortBinUnicode:
      case kShortBinString:
        push({take(number<std::uint8_t>())});
        break;
      case kBinUnicode:
      case kBinString:
        push({take(number<std::uint32_t>())});
        break;
      case kBinUnicode8:
        push({take(number<std::uint64_t>())});
        break;
      case kEmptyTuple:
        push_list(List::Kind::kTuple, {});
        break;
      case kTuple1:
        push_tuple(1);
        break;
      case kTuple2:
        push_tuple(2);
        break;
      case kTuple3:
        push_tuple(3);
        break;
      case kTuple:
        push_list(List::Kind::kTuple, pop_to_mark());
        break;
      case kEmptyList:
        push_list(List::Kind::kList, {});
        break;
      case kList:
        push_list(List::Kind::kList, pop_to_mark());
        break;
      case kEmptySet:
        push_list(List::Kind::kSet, {});
        break;
      case kFrozenSet:
        push_list(List::Kind::kSet, pop_to_mark());
        break;
      case kEmptyDict:
        push({&arena_.dicts.emplace_back()});
        break;
      case kDict: {
        std::vector<PickleValue> items = pop_to_mark();
        push({&arena_.dicts.emplace_back()});
        set_items(std::move(items));
        break;
      }
      case kAppend: {
        PickleValue item = pop();
        list_on_top(List::Kind::kList).items.push_back(std::move(item));
        break;
      }
      case kAppends:
        add_to(List::Kind::kList, pop_to_mark());
        break;
      case kAddItems:
        add_to(List::Kind::kSet, pop_to_mark());
        break;
      case kSetItem: {
        PickleValue value = pop();
        PickleValue key = pop();
        dict_on_top().items.emplace_back(std::move(key), std::move(value));
        break;
      }
      case kSetItems:
        set_items(pop_to_mark());
        break;
      case kBinPut:
        remember(number<std::uint8_t>());
        break;
      case kLongBinPut:
        remember(number<std::uint32_t>());
        break;
      case kMemoize:
        remember(memo_.size());
        break;
      case kBinGet:
        recall(number<std::uint8_t>());
        break;
      case kLongBinGet:
        recall(number<std::uint32_t>());
        break;
      case kGlobal: {
        const std::string_view module = line();
        push_global(module, line());
        break;
      }
      case kStackGlobal: {
        const PickleValue attribute = pop(), module = pop();
        if (!attribute.get<std::string_view>() || !module.get<std::string_view>()) malformed();
        push_global(*module.get<std::string_view>(), *attribute.get<std::string_view>());
        break;
      }
      case kReduce:
        reduce();
        break;
      case kBuild:
        build();
        break;
      case kBinPersid:
        push(host_.persistent(pop()));
        break;
      default: {
        constexpr char kDigits[] = "0123456789abcdef";
        refuse(std::string("uses the opcode 0x") + kDigits[opcode >> 4] + kDigits[opcode & 15] +
               ", which tensors and plain containers never need");
      }
    }
  }

  const std::string& path_;
  std::string_view bytes_;
  const PickleHost& host_;
  PickleArena& arena_;
  std::size_t at_ = 0, made_ = 0;
  std::vector<PickleValue> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint64_t, PickleValue> memo_;
};

}  // namespace

PickleValue unpickle(const std::string& path, std::string_view bytes, const PickleHost& host, PickleArena& arena,
                     std::size_t* used) {
  Machine machine(path, bytes, host, arena);
  PickleValue value = machine.run();
  if (used != nullptr) *used = machine.used();
  return value;
}

}  // namespace vene::io
