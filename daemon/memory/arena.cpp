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

// All pieces are records, so every piece may as well be aligned as records are. Used directly and not through
// basic_managed_external_buffer, which does not compile with this alignment; asking that one for aligned pieces
// (allocate_aligned) never reuses a hole of exactly the right size.
using Allocator = interprocess::rbtree_best_fit<interprocess::null_mutex_family, interprocess::offset_ptr<void>,
                                                protocol::record_alignment>;

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
  if (reinterpret_cast<std::uintptr_t>(bytes.data()) % protocol::record_alignment != 0) {
    return Error{ErrorCode::invalid_argument, "an arena of " + size + " is not aligned to a cache line"};
  }
  const std::size_t usable = bytes.size() / protocol::record_alignment * protocol::record_alignment;
  if (usable >= Allocator::get_min_size(0)) {
    auto state = std::make_unique<State>();
    state->allocator = ::new (bytes.data()) Allocator(usable, 0);
    state->capacity_bytes = bytes.size();
    // What the allocator keeps for itself differs between versions of Boost: found by trying.
    Arena arena(std::move(state));
    for (std::size_t piece = arena.state_->allocator->get_free_memory(); piece >= protocol::record_alignment;
         piece -= protocol::record_alignment) {
      if (std::byte* const found = arena.allocate(piece); found != nullptr) {
        arena.state_->allocator->deallocate(found);
        arena.state_->largest_piece_bytes = piece;
        return arena;
      }
    }
  }
  return Error{ErrorCode::invalid_argument, "an arena of " + size + " has no room for a record"};
}

std::byte* Arena::allocate(std::size_t bytes) {
  auto* const piece = static_cast<std::byte*>(state_->allocator->allocate(bytes));
  ONCED_ASSERT(reinterpret_cast<std::uintptr_t>(piece) % protocol::record_alignment == 0);
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
