"""Orders to whoever reads a playbook, which no lesson about the work would hold.

A table of patterns, in two parts: what is an order in any sentence, and what is one unless the
sentence forbids it ("never print passwords" is a good rule). Nothing here understands a text: an
order in the guise of an ordinary rule passes, and meets the evidence, the pins and the gate.
"""

from __future__ import annotations

import re
import unicodedata

from agentcore.ace.screening import folded

_RULES = (
    r"(?:instructions?|rules?|prompts?|directions?|directives?|guidelines?|guidance|playbook"
    r"|(?:content |safety )polic(?:y|ies)|(?:system|developer) messages?)\b"
)
_EARLIER = r"(?:previous|prior|above|earlier|preceding|original|initial|system|your|all|any|every)"
_DROP = (
    r"(?<!not )(?<!never )(?<!n't )\b(?:ignore|disregard|forget|discard|drop|set aside"
    r"|(?:no longer|do not|don't|never) (?:follow|obey|comply with))\b"
)
_WATCHERS = (
    r"(?:users?|humans?|operators?|customers?|owners?|supervisors?|admin\w*|any(?:body|one))"
)
_THIS = r"(?:this|these) (?:rule|instruction|step|line|order|note|message)s?\b"
_SHOW = (
    r"\b(?:reveal|print|repeat|leak|show|output|display|dump|disclose|expose|tell|quote|recite"
    r"|translate|include|copy|begin|start|write out)\b"
)
_SEND = (
    r"\b(?:send|post|forward|upload|copy|transmit|share|e-?mail|mail|publish|export|push|submit"
    r"|deliver|append|embed|encode|put|call)\b"
)
_ALL = r"\b(?:all|every|each|whole|entire|complete|copy of|contents? of|dump)\b"
_SENSITIVE = (
    r"\b(?:passwords?|credentials?|secrets|api (?:keys?|tokens?)|card numbers?|personal data"
    r"|conversations?|(?:user|customer)(?:'s|s)? (?:data|records?|lists?|documents?))\b"
)
_ADDRESS = (
    r"(?:(?:https?|ftp)://"
    r"|\b(?:to|of|on) (?:[\w-]+\.)+(?:com|net|org|io|dev|app|xyz|info|biz|ru|cn|example)\b)"
)
_OUTSIDE = (
    r"\b(?:pastebin|public gist"
    r"|(?:external|outside|third-party) (?:\w+ )?(?:address|mailbox|server)"
    r"|address (?:in|from|that) the (?:ticket|message|mail|text))"
)
_GUARDS = (
    r"\b(?:security|safety|content filters?|guardrails?|audit\w*|authenticat\w+|authori[sz]ation"
    r"|certificate (?:checks?|verification)|approval (?:step|process)|spending limits?)\b"
)

_ALWAYS = (
    # The rules that were there before do not count any more.
    rf"{_DROP}[^.]{{0,40}}\b{_EARLIER}\W+(?:[\w']+\W+){{0,2}}{_RULES}",
    rf"{_DROP}[^.]{{0,40}}\b{_RULES}[^.]{{0,20}}\b(?:above|before|earlier|so far|given)\b",
    (
        r"\b(?:stop (?:following|obeying)|pay no attention to)\b[^.]{0,30}"
        rf"\b(?:constraints|{_RULES})"
    ),
    r"\b(?:restrictions|constraints|limits)\b[^.]{0,20}\bplaced on you\b",
    r"\b(?:forget|ignore|disregard) (?:everything|anything)\b",
    r"\b(?:treat|consider|regard)\W+(?:everything|all)\b[^.]{0,40}\b(?:void|invalid|cancelled)\b",
    rf"\boverr(?:ide|ule)s?\W+(?:(?:every|all) other|your|previous)\W+(?:[\w']+\W+)?{_RULES}",
    (
        rf"\b(?:(?:your|previous|earlier|prior)\W+(?:\w+\W+)?{_RULES}|{_RULES} above)"
        r"\W+(?:are|is|do|no)\b[^.]{0,20}"
        r"\b(?:cancelled|void|outdated|obsolete|invalid|apply|count)\b"
    ),
    (
        rf"\b(?:do not|don't|stop|never) (?:the |any )?(?:obey|follow)\w*\b[^.]{{0,20}}\b{_RULES}"
        r"[^.]{0,10}\b(?:any ?more|any longer)\b"
    ),
    r"\b(?:new|updated|additional) (?:instructions?|task)\s*:",
    # The reader is somebody else.
    r"\byou are now\b(?! (?:on|at|ready|logged|connected)\b)",
    r"\byou are no longer (?:an?|bound|restricted|limited)\b",
    r"\b(?:from (?:now on|this (?:moment|point)(?: on)?)|henceforth),? (?:you|act|answer|obey)\b",
    r"\b(?:enter|switch to|enable|activate)\b[^.]{0,15}\b(?:developer|god|jailbreak|dan) mode\b",
    r"\byour (?:new|real|true) (?:role|task|goal|purpose|identity|job|master)\b",
    # Those who watch shall not know.
    (
        r"\b(?:do not|don't|never)\W+(?:tell|inform|notify|alert)\b[^.]{0,20}"
        rf"\b{_WATCHERS}\b[^.]{{0,20}}\b(?:(?:about|of) (?:this|it)\W*$|about {_THIS}|that you)"
    ),
    rf"\b(?:not|n't|never)\W+(?:\w+\W+)?(?:mention|reveal|disclose|admit|log|report) {_THIS}",
    rf"\b(?:keep|hide)\W+(?:it|this|{_THIS})\W+(?:\w+\W+)?(?:secret|hidden|quiet|from)\b",
    (
        rf"\b{_WATCHERS}\W+(?:must|should|may|do|does|shall)\W*(?:not|n't|never)\W+"
        r"(?:find out|(?:know|notice|learn) (?:that you|(?:about|of) (?:this|it)))\b"
    ),
    (
        r"\bhide (?:the |this |any |your )?"
        r"(?:transfer|payment|fee|charge|mistake)s?\b"
        rf"[^.]{{0,20}}\bfrom (?:the |your )?{_WATCHERS}\b"
    ),
    rf"\bwithout (?:leaving (?:a |any )?trace|(?:the |any )?{_WATCHERS} (?:noticing|knowing))",
    r"\bso (?:that )?(?:nobody|no one) (?:will )?(?:notices?|finds? out|becomes? suspicious)\b",
    r"\bdo (?:this|it|so) (?:silently|secretly|covertly)\b|\bdeny that\b[^.]{0,20}\bexists?\b",
    r"\b(?:remove|delete|erase|wipe|keep)\b[^.]{0,30}\b(?:from|out of) the audit (?:trail|log)\b",
    # The form of a conversation.
    r"^\W{0,9}(?:system|assistant|user|human)\s*:",
    (
        r"<{1,2}/?\s*(?:sys(?:tem)?|assistant|user|human|tool(?:_?calls?)?|function_?calls?"
        r"|instructions?|prompt)\s*>|<\|[a-z_]+\|>|\[/?INST\]|\[system\]|\"role\"\s*:\s*\""
    ),
    r"(?-i:\b(?:END|BEGIN|START) OF (?:THE )?(?:PLAYBOOK|(?:SYSTEM )?PROMPT|INSTRUCTIONS)\b)",
    # Spelled out, or packed, so that it is not found.
    r"(?<!\w)[^\W\d_](?:(?: {1,2}[^\W\d_]){7,}|(?:[._*-][^\W\d_]){5,})(?!\w)",
    r"\b(?:base64|rot13|hex)\b[^\n]{0,80}\b(?:do what it says|(?:obey|follow|execute) it)\b",
    # What guards others is left away.
    (
        r"\b(?:never|do not|don't) (?:ask|wait) for (?:confirmation|approval|permission)\b"
        r"[^.]{0,30}\b(?:transfer|pay|delet|wire|refund|money|grant)"
    ),
    (
        r"\b(?:approve|accept|grant|pay)\W+(?:every|all|any|each)\b[^.]{0,30}\bwithout\b[^.]{0,20}"
        r"\b(?:check|review|ask|approv|verif|question)"
    ),
    (
        r"\b(?:do not|don't|never) (?:verify|validate)\b[^.]{0,20}"
        r"\b(?:identit|signature|certificate|permission)"
    ),
    # The first one again, in other languages.
    r"\b(?:ignorier|missacht|vergiss|vergesst)\w*\b[^.]{0,40}(?:anweisung|regel|vorgabe|, was )",
    (
        r"\b(?:ignor[aeo]|olvid|esque[cç]|dimentic)\w*\b[^.]{0,30}"
        r"\b(?:instruccion|instru[cç][oõ]|istruzion|reg(?:las?|ras?|ol[ae])\b)"
    ),
    r"\b(?:ignorez|oubli\w+)\b[^.]{0,30}\b(?:instruction|consigne|directive|r[eè]gle)",
    (
        r"\b(?:negeer|vergeet|ignorer|glem|gl\xf6m|zignoruj|zapomnij)\w*\b[^.]{0,30}"
        r"\b(?:instru[ck]|reg(?:els|ler)\b|polece|zasad)"
    ),
    r"(?:игнорир|забудь)\w*[^.]{0,30}(?:инструкц|указани|правил)",
    r"(?:talimat|kural)\w*[^.]{0,20}(?:yok say|g\xf6rmezden|unut)",
    r"(?:忽略|无视|無視|忘记)[^。]{0,12}(?:指令|指示|规则|規則)",
    r"(?:指示|命令|ルール)[^。]{0,12}(?:無視|忘れ)|(?:지시|명령|규칙)[^.]{0,12}(?:무시|잊)",
    r"(?:تجاهل|انس)[^.]{0,20}(?:التعليمات|القواعد|الأوامر)",
)
_UNLESS_FORBIDDEN = (
    # The reader plays somebody else.
    r"\bassume the identity\b|\bimpersonate\b",
    (
        r"\b(?:act as|pretend|behave (?:as|like)|imagine|role-?play)\b[^.]{0,30}"
        r"\b(?:unrestricted|unfiltered|jailbroken|root|dan|administrator|developer mode|hacker"
        r"|human|employee|(?:no|without) (?:\w+ )?(?:rules|limits|restrictions|polic\w+))\b"
    ),
    # What the reader knows is given away.
    r"\b(?:text|copy) of (?:your|the (?:system|initial)) (?:\w+ )?(?:prompt|instructions)\b",
    (
        rf"{_SHOW}[^.]{{0,40}}\b(?:your|(?:the )?(?:system|initial|hidden|secret))\W+(?:[\w']+\W+)?"
        r"(?:prompt|instructions|rules|guidelines|message)\b"
    ),
    rf"{_SHOW}[^.]{{0,40}}\byour (?:full|whole|entire|own) configuration\b",
    (
        rf"{_SHOW}[^.]{{0,20}}\b(?:everything|all|text)\b[^.]{{0,10}}"
        r"\b(?:above|before)(?:\W*$| this\b)"
    ),
    (
        r"\b(?:reveal|print|repeat|leak|output|dump|disclose|expose)\W+(?:\w+\W+){0,2}"
        r"(?:secrets|passwords|credentials|(?:api|access|secret|private) keys?"
        r"|environment variables)\b"
    ),
    r"\bexfiltrate\b|/etc/(?:passwd|shadow)\b|\bid_rsa\b",
    # It is carried away.
    rf"{_SEND}[^.\n]{{0,40}}{_ALL}[^\n]{{0,60}}(?:{_ADDRESS}|{_OUTSIDE})",
    rf"{_SEND}[^\n]{{0,60}}{_SENSITIVE}[^\n]{{0,60}}(?:{_ADDRESS}|{_OUTSIDE})",
    rf"{_ADDRESS}\S{{1,200}}[^.\n]{{0,20}}\bwith [^.\n]{{0,20}}{_SENSITIVE}",
    rf"!\[[^\]]{{0,80}}\]\({_ADDRESS}",
    (
        r"\b(?:embed|add|include|insert)\b[^.]{0,30}\b(?:pixel|image|script)s?\b"
        rf"[^.]{{0,20}}{_ADDRESS}"
    ),
    rf"{_SEND}[^.\n]{{0,60}}{_OUTSIDE}",
    rf"\b(?:sende|schick|env[i\xed]|envo[iy]|invia|отправ)\w*[^.\n]{{0,40}}{_ADDRESS}",
    # Something is destroyed, or run that nobody has seen.
    r"\b(?:curl|wget)\b[^\n]{0,120}\| ?(?:sudo )?(?:ba|z|da)?sh\b",
    r"sh [\"']?[<$]\( ?(?:curl|wget)",
    (
        r"\brm -(?:rf|fr) [\"'`]?(?:/(?:(?:var|home|etc|usr|boot|root)\b(?!/\w))?|~/?|\*)"
        r"(?![\w/.*-])"
    ),
    (
        r"\bb64decode\(|\bpowershell -e|\breverse shell\b|\bnc -e\b"
        r"|/dev/tcp/|\bmkfs\.|\bchmod (?:-R )?777 /(?!\w)"
    ),
    r"\binstall\b[^\n]{0,60}--(?:extra-)?index-url[= ]http://",
    r"\b(?:DROP|TRUNCATE) (?:TABLE|DATABASE|SCHEMA) \w+;|\bDELETE FROM \w+;",
    # What guards others is left away.
    (
        r"\b(?:skip|bypass|disable|turn off|switch off|circumvent|deactivate|evade)\b"
        rf"[^.]{{0,20}}{_GUARDS}"
    ),
    (
        r"\baccept any (?:certificate|signature|token)|\b(?:give|grant|pay)\b[^.]{0,20}"
        r"\bwhatever (?:discount|refund|access|amount|he|she|they)\b"
        r"|\b(?:transfer|wire)\b[^.]{0,20}\b(?:money|funds|balance|amount)\b"
        r"[^.]{0,60}\bwithout (?:approval|asking|confirmation|review)\b"
    ),
    r"\balways (?:grant|give|approve|accept)\b[^.]{0,40}\b(?:admin|root|whoever|any(?:one|body))",
    (
        r"\b(?:transfer|wire|send|pay) (?:all|the (?:entire|whole))\b[^.]{0,15}"
        r"\b(?:funds|money|balance)\b"
    ),
)
# A prohibition reaches to the end of its clause; "do not hesitate to" is none.
_FORBIDDEN = re.compile(
    r"(?i)\b(?:never|do not|don't|must not|may not|cannot|instead of|avoid)\b"
    r"(?!\W+(?:hesitate|forget|fail|wait|ask)\b)[^.;:!?\n]*"
)
_GAP = re.compile(r"[^\S\n]+")
# Cyrillic, Greek and digits, as they are taken for Latin letters.
_LOOKALIKES = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u0501\u03b1\u03bf\u03b9\u03bd\u03c1\u03c4"
    "\u201901345@$_",
    "aeopcyxijsdaoivpt'oieasas ",
)
_ORDERS = tuple(re.compile(f"(?im){pattern}") for pattern in _ALWAYS)
_TEMPTATIONS = tuple(re.compile(f"(?im){pattern}") for pattern in _UNLESS_FORBIDDEN)


def order_in(text: str) -> str | None:
    """The words in ``text`` that address the reading model rather than describe the work."""
    plain = _GAP.sub(" ", unicodedata.normalize("NFKC", folded(text)))
    for shown in dict.fromkeys((plain, plain.casefold().translate(_LOOKALIKES))):
        allowed = _FORBIDDEN.sub("", shown)
        for patterns, read in ((_ORDERS, shown), (_TEMPTATIONS, allowed)):
            for pattern in patterns:
                if found := pattern.search(read):
                    return found.group()[:80]
    return None
