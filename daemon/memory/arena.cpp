#include "memory/arena.hpp"

#include <boost/interprocess/mem_algo/rbtree_best_fit.hpp>
#include <boost/interprocess/offset_ptr.hpp>
#include <boost/interprocess/sync/mutex_family.hpp>
#include <cstring>
#include <new>
#include <string>

#include <onced/protocol/segment.hpp>

namespace onced::memory {

namespace interprocess = boost::interprocess;

namespace {

// Used directly and not through basic_managed_external_buffer: asking that one for aligned pieces (allocate_aligned)
// never reuses a hole of exactly the right size. Every block, head included, is given a multiple of `line` bytes, so
// all pieces stand at the same place in their lines. Where, one can choose by where the allocator itself begins.
using Allocator =
    interprocess::rbtree_best_fit<interprocess::null_mutex_family, interprocess::offset_ptr<void>, protocol::record_unit>;

constexpr std::size_t line = protocol::value_alignment;
constexpr std::size_t head = protocol::record_phase;  // what the allocator keeps before a piece

// What to ask for so that the block is a multiple of a line.
constexpr std::size_t whole_lines(std::size_t bytes) { return (bytes + head + line - 1) / line * line - head; }

}  // namespace

struct Arena::State {
  Allocator* allocator = nullptr;  // lies at the start of the span
  std::size_t capacity_bytes = 0;
  std::size_t largest_piece_bytes = 0;
};

Arena::Arena(std::unique_ptr<State> state) : state_(std::move(state)) {}
Arena::Arena(Arena&&) noexcept = default;
Arena& Arena::operator=(Arena&&) noexcept = default;
Arena::~Arena() = default;

Result<Arena> Arena::create(std::span<std::byte> bytes) {
  const std::string size = std::to_string(bytes.size()) + " bytes";
  if (reinterpret_cast<std::uintptr_t>(bytes.data()) % line != 0) {
    return Error{ErrorCode::invalid_argument, "an arena of " + size + " is not aligned to a cache line"};
  }
  // What the allocator keeps for itself differs between versions of Boost: its beginning and the largest piece are
  // found by trying.
  for (std::size_t begin = 0; begin < line; begin += protocol::record_unit) {
    if (bytes.size() < begin + Allocator::get_min_size(0) + line) break;
    const std::size_t usable = (bytes.size() - begin) / line * line;
    auto* const allocator = ::new (bytes.data() + begin) Allocator(usable, 0);
    void* const first = allocator->allocate(whole_lines(1));
    if (first == nullptr) break;
    const bool in_phase = reinterpret_cast<std::uintptr_t>(first) % line == protocol::record_phase;
    allocator->deallocate(first);
    if (!in_phase) continue;

    auto state = std::make_unique<State>();
    state->allocator = allocator;
    state->capacity_bytes = bytes.size();
    for (std::size_t piece = whole_lines(allocator->get_free_memory()); piece > head; piece -= line) {
      if (void* const found = allocator->allocate(piece); found != nullptr) {
        allocator->deallocate(found);
        state->largest_piece_bytes = piece;
        return Arena(std::move(state));
      }
    }
    break;
  }
  return Error{ErrorCode::invalid_argument, "an arena of " + size + " has no room for a record"};
}

std::byte* Arena::allocate(std::size_t bytes) {
  auto* const piece = static_cast<std::byte*>(state_->allocator->allocate(whole_lines(bytes)));
  ONCED_ASSERT(piece == nullptr || reinterpret_cast<std::uintptr_t>(piece) % line == protocol::record_phase);
  return piece;
}

void Arena::wipe_and_free(std::byte* piece, std::size_t bytes) {
  std::memset(piece, 0, bytes);
  state_->allocator->deallocate(piece);
}

std::size_t Arena::capacity_bytes() const {
  return state_->capacity_bytes;
}
std::size_t Arena::largest_piece_bytes() const {
  return state_->largest_piece_bytes;
}

}  // namespace onced::memory
