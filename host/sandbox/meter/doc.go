// Package meter rewrites WebAssembly modules so that they count what they use and stop themselves when it is too much. It
// knows the binary format and nothing of what modules do, or of who runs them; it runs nothing itself.
//
// # What is added
//
// Three variables: what is left of the current slice of fuel, of the fuel beside it, and of the depth of calls. They are globals behind those of the module,
// which cannot name them: every index in the code, in constants and in exports is checked against the original's numbers.
//
// Fuel is charged for groups of code. A function without its loops, and each loop without those inside, is a region. It is cut
// into segments where branches may arrive: at the ends of blocks and at else. Segments that follow each other in a region
// form a group, as long as those behind the first cost no more than 100 together. A group is charged for in one go where it begins, which for the
// first one is the beginning of the function or the head of the loop; most regions have only this one. A segment with a jump into
// the middle of another group pays those 100 more.
//
// The fuel comes in slices of a million units. Whether the slice is used up is looked at where time can pass: at the head of
// each loop, at instructions whose work depends on an operand, and at the end of functions that do more than a little outside of
// their loops; what runs in between is bounded by the length of the code and the depth of calls. When it is, the module calls its own function [YieldExport], which takes the next
// slice from the fuel, or ends in a trap (unreachable) when there is none. Whoever runs the module may listen to calls of that
// function: there the garbage collector of the host, which cannot interrupt compiled code, gets its turn, and a time limit can be kept.
// At the head of a loop, the round that asked for a slice begins anew and is charged for twice, a hundredth of a slice at most: jumping back keeps
// the compiler from moving variables about on the way that is taken nearly always.
//
// Instructions whose work depends on an operand charge for that beside: memory.copy, fill and init one for each 4 bytes,
// those of tables one for each element, before they run; memory.grow and table.grow for what they really added, after it. A
// call of a host function has a flat price; the host must bound for itself what its functions do.
//
// The depth is charged by functions that call any other, and given back when they return. A function counts for one, plus
// one for each 1024 values that its frame may have to hold: its locals, its instructions, and its locals once more for each
// loop. That is an estimate. The engine's own limit of the stack stays in place for what it misses.
//
// Each exported function, and the start function, is replaced outside by a wrapper. When no call is under way, it
// fills up the fuel; afterwards it restores the depth. Inside, calls and tables go to the original, so nothing a guest can do
// fills up its fuel. A function that is exported stays declared for ref.func by an element segment of its own. When a host function calls an export while the guest's call of it is under way, that call uses what is
// left of the outer one's fuel and depth, and the outer call goes on with what it leaves.
//
// [TrapExport] and [FuelExport] tell after a trap whether it was one of ours. They are valid until the next call.
//
// # Why a guest cannot get around it
//
// An instruction runs only after its charge. Control in WebAssembly is structured: the only jumps backward go to the head of a
// loop, and a function begins only at its beginning. Between two such points control moves forward through the text, so each
// instruction of a region runs at most once for each time that the region is begun. A group is entered in one of two ways:
// at its beginning, where all of it is charged for, or by a jump to a later segment of it. Then what is left of it costs at
// most 100, which the segment that jumped has paid; it jumps once, since a jump leaves a segment for good. Every sequence of
// instructions without end therefore passes infinitely many charges, each of at least 1, and infinitely many places where the
// slice is looked at: without loops only calls go on without end, which the depth forbids, unless functions return, and a function
// that calls another looks at the slice when it ends. The fuel is finite.
//
// So a call never uses less fuel than its instructions cost. It may use more: a group that is left in the middle was charged for
// as a whole. Code of the Go compiler, whose functions jump by a table in a loop, uses several times as much.
//
// The compiler reads what was checked here. Section sizes and vector lengths are verified, and all instructions are written
// in their shortest form, so that nobody reads the result in another way than this package did. Instructions that it does not
// know are refused, as are those in encodings that wazero is known to read in its own way.
//
// The cost of an instruction reflects what it may take, roughly: branches, joins and calls pay for the locals and operands that
// the compiled code may have to move then. One unit of fuel takes a nanosecond or two at most, with two exceptions: a load
// from memory that misses all caches may take a hundred times as long, and wazero copies the memory now and then when it grows,
// which the limit of the memory bounds.
//
// # Before wazero sees a module
//
// wazero makes room for as many elements as a vector says it has before it reads them: a file of 14 bytes can ask for 160 GiB,
// which ends the process. So rewrite first, and hand wazero only the result. The result is valid if and only if the
// original is (but for a damaged name section, which is left out): what is added is well typed and leaves the stack as it was, blocks around a body keep the types that its
// branches and its end must have, and no index means something else than before. That holds also for the limits set here on
// locals, arity and tables, over which modules are refused with an error that wraps [ErrLimit]. The most that tables may grow to is
// reduced to the limit in the result.
//
// # What stays as it is
//
// The indexes of all types, functions, tables, globals and segments, names, data and custom sections, of which those with
// DWARF then give wrong places. A module whose sections are all absent gets those it needs.
//
// # After a trap
//
// An instance in which a call trapped must be thrown away: its depth is not restored, and so the next call would not get new
// fuel. When a nested call traps and the host goes on, the outer call loses what the nested one had taken.
package meter
