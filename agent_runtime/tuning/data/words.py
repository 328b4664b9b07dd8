"""The words that names of things, roles and places are made of.

There are hundreds of each, with all letters, so that words are copied and not recognised. Things that are to be unlike
those learned from have words of their own, apart for validation and test, which are not among the others.
"""

from agent_runtime.tuning.samples import Split

LOOKS = tuple(
    """\
amber ancient angular antique ashen aged awkward azure balanced bare barbed battered beaded bent bitter black
bleached blessed blue blunt bold bone bottled bound brass braided brave brazen bright brittle broad broken bronze
brown buried burnt calm canvas carved charred cheap chilled chipped clay clean clear clever cloudy coarse cobalt
cold common concave copper coral cracked creased crimson crooked crude cruel crystal curled cursed curved damaged
damp dark deep delicate dented dim dirty divine double dreary dried dry dull durable dusty dyed earthen eastern
ebony elastic elegant embossed emerald empty enchanted enormous etched evil exotic faded faint fake famous fancy fat
feathered fierce fine firm flat floral folded forged fragile fresh frosted frozen funny fuzzy gaudy genuine ghostly
giant gleaming gloomy glossy glowing grand greasy green grey grim hairy handy hard hardened harmless haunted heavy
heroic hidden hollow holy honest huge humble icy idle impure indigo infernal inky jade jagged jeweled jolly keen
knitted knotted lacquered lame large lavish leaden lean liquid little lively lone lucky lunar magic massive mended
mighty modern mossy muddy murky musty mystic narrow neat new noble noisy northern nutty oaken obsidian odd oily opal
open orange ornate padded painted patched pearl perfect petty pink pointed poisoned porous precious pretty prickly
prime princely proud pure purple puzzling quaint quick quiet radiant ragged rainy rare raw ready regal rich rigid
ripe ritual robust rotten royal ruby rugged ruined runic rustic saddle salty sandy scarlet scented scorched
scratched sealed secret shabby shadow shallow sharp shattered shiny short shrunken silent silk skewed slender slick
slim slow small smoky soft solar solid solemn sour southern spiked spiral split spotted square stained stale starry
stiff stolen stone stormy stout straight striped strong studded stubborn sturdy subtle sunken superb supple surplus
sweet swift tainted tall tame tangled tarnished tasty tattered teak thick thin thorny tidy tight tiny topaz torn
tough toxic tribal tricky trim true twin twisted ugly unique useful vacant vague valued vast velvet verdant vintage
violet vivid volatile warm warped watery waxed weak wealthy weary weird western wet white wicked wide wild windy
winged wise witty wooden woolen worn worthy woven wrinkled yellow young zealous zigzag""".split()
)
_VALIDATION_LOOKS = tuple(
    """\
gilded glass golden horn inlaid iron ivory leather light linen long lost loud low marble""".split()
)
_TEST_LOOKS = tuple(
    """\
old pale plain polished quilted red rough round rusty sacred silver simple smooth spare steel strange""".split()
)
UNLIKE_LOOKS: dict[Split, tuple[str, ...]] = {"validation": _VALIDATION_LOOKS, "test": _TEST_LOOKS}
THINGS = tuple(
    """\
abacus acorn altar anchor anklet anvil apple apron armlet arrow axle badge bag ball balm bandage banner barrel basin
basket baton beacon bead beaker bell belt bench bible blade blanket block board boat bolt bone bonnet book boot
bottle bow bowl box bracelet branch bread brick bridle brooch broom brush bucket buckle bugle bundle button cabinet
cage cake calendar candle cane canister cap cape card carpet cart casket cask cauldron chain chair chalice chalk
charm chart cheese chest chisel cigar claw cleaver cloak clock cloth coat coffin coin collar comb compass cookie
cord cork crate crest crown crutch crystal cube cup curtain cushion cymbal dagger dart deed desk diadem diary dice
doll door drawer dress drill earring easel egg emblem engine envelope fabric fan fang fence file fin flail fleece
flower fossil frame fruit fungus furnace gadget garland gauntlet gear gem gift girdle globe glue gong gown grain
grater grindstone gum gun hammock handbag handle hatchet herb hinge hive hoe hood hook hoop horseshoe hose hourglass
idol incense ingot ink jacket jersey jewel joystick juice kayak keg kernel kilt kit kite knapsack knife knob knot
label lace lance lasso latch lead leaf leash ledger lens letter lever lid limb line lock locker log loom lute lyre
machine magnet mallet mantle manual mast mat match mattress meat medal melon mill mitten mold moss mortar mosaic
mount mouse muffin muzzle nail napkin net nest noose notebook nozzle nugget nut ointment onion orb orchid organ
ornament outfit oven padlock paddle page pail paint palette panel paper parasol parcel parchment paste patch paw
pear pearl pebble pedal pedestal peg pen pencil pendant pepper perfume pestle petal piano pickaxe picture pie pillar
pillow pin pistol pitcher plank plate pliers plough plug plum plume pocket poker pole poncho pot potato potion pouch
powder prism puppet purse pyramid quill quilt quiver rack radio raft rag rail rake ram rattle razor relic reel
ribbon rifle ring robe rock rod roof root rope rose ruler rug rudder sack saddle safe sail salt salve sandal sash
saucer saw scale scarf scepter scissors scoop scroll scythe seal seed shawl shelf shell shield ship shirt shoe
shovel shutter sickle sieve sign sink skate skillet skirt skull slate sled sleeve slipper snare soap sock sofa spade
spatula spice spike spindle spinner sponge spool spoon spring spur squash stake stamp star statue stem stew stick
stirrup stool stove strap straw string suit sundial sweater sword syringe table tablet tack tail tankard tape
tapestry tar teapot tent thimble thistle thorn thread throne ticket tie tiger tile timber token tome tongs tooth
torch totem towel toy trap tray treasure trinket tripod trophy trousers trowel trumpet trunk tub tube tunic turban
turnip tusk tweezers twig umbrella urn utensil valve vase veil vessel vest vial vine violin visor voucher wagon
wallet wand wardrobe watch wax wedge weight wheel whip whistle wick wig wine wing wire wool wreath wrench yarn yoke
zipper zither""".split()
)
_VALIDATION_THINGS = tuple(
    """\
drum dish feather fiddle flag flask flute fork funnel glove goblet hammer harp hat helm""".split()
)
_TEST_THINGS = tuple(
    """\
jar jug kettle key ladder lamp lantern locket map mask mirror mug necklace needle oar pan pipe""".split()
)
UNLIKE_THINGS: dict[Split, tuple[str, ...]] = {"validation": _VALIDATION_THINGS, "test": _TEST_THINGS}
ROLES = tuple(
    """\
abbot acolyte actor admiral alchemist archer artist assassin baker bandit barber bard baron basilisk bear beast
beggar bishop brewer builder butcher captain caravan carpenter cat centaur chief cleric clerk clown cobra colonel
cook corpse courier cow crab crow cultist cyclops dancer deer demon diver doctor dog dragon drone drummer druid duke
dwarf eagle elder elemental elf emperor enemy engineer envoy falcon farmer ferret ferryman fighter fisher fox friar
frog gardener general ghost ghoul giant gnoll gnome goat goblin golem griffin guard gunner hag harpy hawk healer
herald hermit horse hound hunter hydra imp insect jackal jester judge juggler keeper kestrel king knight kobold
lancer lawyer leader lich lion lizard lord lynx mage maid marksman mason mayor medic mercenary merchant mimic miner
minion minotaur monk monster moth mule mummy naga necromancer ninja noble nomad npc nun nurse nymph ogre oracle orc
orphan outlaw owl page paladin panther pawn peasant peddler phantom phoenix pilot pirate player poacher poet porter
potter priest prince prophet pupil python queen rabbit raider ranger rat raven rebel recruit robot rogue rook ruler
sage sailor salamander scholar scorpion scout scribe seer sentry serpent shade shaman shark sheriff siren skeleton
slime smuggler snake soldier sorcerer spectre sphinx spider spirit spy squire stag statue steward stranger student
swarm tailor tank tanner teacher thief thug tiger titan toad tower trader trapper traveller troll turret tutor
unicorn unit usher vampire vendor viper villager wanderer warden warlock warrior wasp watchman weaver wench whale
widow wisp witch wizard wolf woodcutter worker worm wraith wyvern yeoman yeti zealot zombie""".split()
)
FIRST_HALVES = tuple(
    """\
amber ash apple badger bear birch bitter black blood blue bone bramble bright broad bronze candle castle cedar chalk
cinder clay clear cliff cold copper coral crow crystal dagger dark dawn deep deer dew dragon dry dusk dust eagle
east elder elk elm ember even ever fair fern fire fox frost ghost gold grass grave great green grey half hawk hazel
heather high honey ice ivy jade king knight lake lark leaf lily lion little lone maple marsh mead mid mill mist moon
moss mud murk narrow nether new night north oak ochre olive onyx open orchard otter over owl peach pearl pebble
pepper pike pine plum port proud quarry queen quick rain raven reed ridge river rock rose rot rowan ruby rush sable
salt sand scarlet sea shadow sharp sheep silk sky sleet small smoke snow south spring star stone storm strong summer
sun swamp swan sweet swift tall thistle thorn thunder timber trout turtle twin under upper vale velvet vine violet
war water weather west wheat whisper white wild willow wind winter wolf wood wren wych yellow yew""".split()
)
SECOND_HALVES = tuple(
    """\
acre arch barrow bank bay beach bluff bourne bridge brook burn castle chapel cliff combe corner court cove creek
crest cross crossing dale dam deep den down drift edge end fall fell fen ferry field font ford forge fort garden
gate glade glen gorge grave green grove hall ham harbour haven hearth heath hedge height hill hold hollow holm house
hurst isle keep kirk knoll lake land lea ledge lock lodge marsh mead meadow mere mill mine minster moor mount mouth
mound notch park pass path peak pike pine pit place point pond pool port post quarry quay ranch range reach reef
rest ridge rise river road rock run sands scar scarp shade shaft shaw shire shoal shore shrine side spire spring
spur stall stand station stead steppe stile stone strait strand summit thorn thorpe tomb ton tower town trail tree
trench tunnel vale vault view village ville wade wall ward wash watch water way weir well wharf wich wick wold wood
worth yard""".split()
)
