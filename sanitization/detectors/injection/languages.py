"""The grammar of an order against earlier orders, in other languages: stems of its verbs, objects and qualifiers. Data.

Each line of a language is a list of stems, `_` for a blank: `ignore` and `reveal` are imperative verbs, `instructions`
the model's instructions, `earlier` words for all of them, `prompt` words that only apply to a model.
"""

# ruff: noqa: RUF001 - letters of other scripts are what this file is about

from typing import Final

from attrs import frozen


@frozen
class Language:
    """One language's words for one grammar."""

    name: str
    ignore: str
    instructions: str
    earlier: str
    reveal: str
    prompt: str = ""
    said: str = ""
    """Phrases in place of the object: *all that was said above*."""
    spaced: bool = True


LANGUAGES: Final[tuple[Language, ...]] = (
    Language(
        "German",
        "ignorier missacht vergiss vergesst vergessen_sie verwirf verwerfe übergeh umgeh überschreib ausser_acht "
        "außer_acht beachte_nicht setz_dich_über setze_dich_über lass_alle",
        "anweisung instruktion vorgabe befehl richtlinie regel anordnung vorschrift systemprompt systemanweisung "
        "direktive prompt weisung einschränkung aufgabenstellung sicherheitsregel",
        "vorherig vorige früher bisherig obig alle sämtlich deine deiner ihre vorangegangen vorhergehend zuvor bisher "
        "davor vorangehend vorstehend jede gegeben erhalten ursprünglich",
        "gib zeig nenn verrat offenbar schreib wiederhol drucke geben_sie zeigen_sie nennen_sie teile leg offen",
        "deine_anweisungen ihre_anweisungen deine_instruktionen geheimen_anweisungen systemanweisung "
        "systemnachricht ursprünglichen_anweisungen",
        "was_dir_gesagt was_ihnen_gesagt was_du_gelernt alles_obige alles_oben alles_vorherige alles_bisherige "
        "was_man_dir was_ich_dir alles,_was_dir alles_was_dir alles,_was_ihnen was_oben",
    ),
    Language(
        "French",
        "ignor oublie oubliez oublier négligez fais_abstraction faites_abstraction ne_tiens_pas_compte "
        "ne_tenez_pas_compte outrepass passe_outre contourne désobéi fais_fi ne_suis_plus ne_suivez ne_respecte "
        "écarte efface abandonne",
        "instruction consigne directive règle ordre indication prompt restriction commande",
        "précédent antérieur toute tous ci-dessus tes vos préalable plus_haut d'avant initial avant reçu donné",
        "affich montr révèl révél donne dis_moi dis-moi imprim répèt écris divulgu communiqu",
        "invite_système invite_du_système message_système tes_instructions vos_instructions instructions_système "
        "prompt_système consignes_système",
        "qu'on_t'a qu'on_vous_a tout_ce_qui_précède ce_qui_précède ce_que_tu_as ce_que_vous_avez ce_qui_est_au-dessus "
        "qui_t'a_été qui_vous_a_été",
    ),
    Language(
        "Spanish",
        "ignor olvid omit desestim haz_caso_omiso hagan_caso_omiso haga_caso_omiso descart pasa_por_alto pase_por_alto "
        "desobede no_sigas no_hagas_caso no_tengas_en_cuenta anula salta sáltate",
        "instrucci directriz directrices indicacion órdenes orden_anterior regla pautas prompt restriccion comando "
        "consigna",
        "anterior previa previo todas todos arriba tus sus precedente iniciales antes dadas recibid",
        "muestra muéstra revel imprim dime di_ da_ dame repite escrib enseñ enséñ mostrar divulg",
        "mensaje_de_sistema mensaje_del_sistema prompt_del_sistema prompt_de_sistema tus_instrucciones "
        "instrucciones_del_sistema indicaciones_del_sistema",
        "lo_que_te_han_dicho lo_que_se_te lo_que_te_dije todo_lo_anterior lo_anterior lo_que_has_aprendido "
        "lo_que_le_han lo_que_te_hayan",
    ),
    Language(
        "Portuguese",
        "ignor esqueç esquece desconsider descart desrespeit omit despreze não_sigas não_siga ultrapass anule "
        "negligenci",
        "instruç instruc diretriz diretrizes diretiva orientaç regra ordens comando prompt indicaç restriç",
        "anterior prévi todas todos acima suas seus tuas teus precedente iniciais antes dadas recebid",
        "mostr revel imprim diga exib repita escrev dê_ divulg me_dê forneça",
        "mensagem_de_sistema mensagem_do_sistema prompt_do_sistema prompt_de_sistema suas_instruções tuas_instruções "
        "instruções_do_sistema",
        "que_lhe_foi que_te_foi que_foi_dito tudo_acima tudo_o_que_está_acima o_que_disseram que_você_aprendeu "
        "que_lhe_disseram que_te_disseram que_lhe_foram",
    ),
    Language(
        "Italian",
        "ignor dimentic trascur tralasci non_considerare disattend scart non_seguire non_tenere_conto scord salta "
        "aggira",
        "istruzion direttiv indicazion regol ordini prompt comandi linee_guida consegn restrizion",
        "precedent tutte tutti tutto sopra tue tuoi vostre iniziali prima ricevut fornit anterior",
        "mostr rivel stamp dimmi dammi ripet scriv visualizz svela fornisc",
        "prompt_di_sistema prompt_del_sistema messaggio_di_sistema tue_istruzioni istruzioni_di_sistema",
        "che_ti_è_stato ti_hanno_detto che_vi_è_stato quanto_sopra quello_che_ti quanto_detto che_ti_è che_ti_hanno",
    ),
    Language(
        "Dutch",
        "negeer negeren vergeet sla_alle laat_alle overschrijf omzeil veronachtzaam",
        "instructie aanwijzing opdracht regel richtlijn bevel prompt voorschrift",
        "vorige eerdere alle voorgaande bovenstaande jouw uw eerder voorafgaande hierboven gegeven",
        "toon geef laat onthul druk print herhaal schrijf vertel",
        "systeemprompt systeembericht je_instructies jouw_instructies uw_instructies systeeminstructies",
        "wat_je_is_verteld wat_jou_is alles_hierboven wat_u_is_verteld al_het_bovenstaande",
    ),
    Language(
        "Swedish",
        "ignorer glöm bortse strunta åsidosätt förbise hoppa_över",
        "instruktion anvisning regler direktiv order prompt riktlinje uppmaning",
        "tidigare föregående alla ovanstående dina förra ovan samtliga",
        "visa avslöja skriv ange berätta upprepa ge_mig",
        "systemprompt systemmeddelande dina_instruktioner systeminstruktion",
        "vad_du_har_fått allt_ovan allt_du_har",
    ),
    Language(
        "Danish",
        "ignorer glem se_bort tilsidesæt overse spring_over",
        "instruktion instruks anvisning regler direktiv ordre prompt retningslinje",
        "tidligere foregående alle ovenstående dine forrige ovenfor samtlige",
        "vis afslør skriv udskriv fortæl gentag giv",
        "systemprompt systembesked dine_instruktioner dine_instrukser systeminstruktion systemets_prompt",
        "hvad_du_har_fået alt_ovenfor alt_ovenstående",
    ),
    Language(
        "Norwegian",
        "ignorer glem se_bort overse tilsidesett hopp_over",
        "instruksjon instruks anvisning regler direktiv ordre prompt retningslinje",
        "tidligere foregående alle ovenstående dine forrige ovenfor",
        "vis avslør skriv fortell gjenta gi_",
        "systemprompt systemmelding systemledetekst ledetekst dine_instruksjoner systeminstruksjon",
        "hva_du_har_fått alt_ovenfor",
    ),
    Language(
        "Finnish",
        "unohda sivuuta ohita älä_välitä jätä_huomi jätä_huomio älä_noudata hylkää ohittakaa unohtakaa",
        "ohje ohjeet ohjeis käsky määräy sääntö säännö kehot prompt",
        "aiem edelli kaikki yllä aikaisem sinulle annet ylläole",
        "näytä paljasta tulosta kerro kirjoita toista anna",
        "järjestelmäkehot järjestelmäkehote järjestelmäprompt järjestelmäviesti ohjeesi",
        "mitä_sinulle_on kaikki_yllä",
    ),
    Language(
        "Polish",
        "ignoruj zignoruj pomiń zapomnij zlekceważ nie_zważaj odrzuć zignorować ignorować nadpisz",
        "instrukcj poleceń polecenia poleceni wytyczn zasad reguł rozkaz dyrektyw prompt wskazówk komend",
        "poprzedni wszystk wszelki powyższ wcześniejsz swoje twoje dotychczas wcześniej",
        "pokaż wyświetl ujawnij wypisz podaj wydrukuj powtórz zdradź napisz",
        "prompt_systemowy promptu_systemowego swoje_instrukcje komunikat_systemowy",
        "co_ci_powiedzian wszystko_powyżej co_zostało_ci co_ci_mówiono",
    ),
    Language(
        "Czech",
        "ignoruj ignorujte zapomeň zapomeňte nedbej přehlížej pomiň opomeň neřiď",
        "instrukc pokyn příkaz pravid směrnic prompt",
        "předchozí předešl všechn veškeré výše dosavadní tvé své dřívější předcház",
        "ukaž zobraz vypiš odhal prozraď napiš zopakuj řekni",
        "systémový_prompt systémovou_výzvu systémového_promptu své_instrukce systémové_instrukce systémovou",
        "co_ti_bylo vše_výše co_jsi_se",
    ),
    Language(
        "Slovak and the South Slavic languages",
        "ignoriraj ignorirajte zanemari zaboravi zaboravite pozabi zabudni zanemarite ignorišite ignoriši",
        "instrukcij uputstv upute uputa navodil pokyn naredb pravil inštrukci prompt",
        "prethodn prejšnj predchádz predošl sve vse všetk ranij gornj svoj tvoj",
        "prikaži pokaži otkrij razkrij ispiši zobraz izpiši odhaľ",
        "sistemski_prompt sistemski_upit systémový_prompt sistemski_poziv",
    ),
    Language(
        "Hungarian",
        "hagyd_figyelmen hagyj_figyelmen hagyja_figyelmen felejts mellőzd mellőzz ne_vedd_figyelembe ignoráld ignorálj",
        "utasítás utasitas irányelv szabály parancs prompt előírás",
        "korábbi előző összes minden fenti eddigi addigi",
        "mutasd írd fedd árul nyomtasd add_meg ismételd jelenítsd",
        "rendszerprompt rendszer_prompt rendszerüzenet rendszerutasítás utasításaidat",
        "amit_mondtak amit_eddig minden_fentit",
    ),
    Language(
        "Romanian",
        "ignoră ignora ignorați ignoraţi uită uitați nu_ține_cont nesocot omite treci_peste",
        "instrucțiun instrucţiun instructiun indicați reguli regulile ordin directiv comenzi prompt",
        "anterior precedent toate tot de_mai_sus tale inițial dinainte primit",
        "arată afișează afişează dezvăluie spune tipărește repetă scrie",
        "promptul_de_sistem promptul_sistemului mesajul_de_sistem instrucțiunile_tale promptul_tău",
        "ce_ți_s-a tot_ce_este_mai_sus ce_ți-a_fost",
    ),
    Language(
        "Greek",
        "αγνόησ αγνοήσ αγνοεί ξέχασ ξεχάσ παράβλεψ παραβλέψ παράκαμψ",
        "οδηγί εντολ κανόν κανον υποδείξ prompt",
        "προηγούμεν προηγουμεν όλες όλα όλους παραπάνω πρότερ αρχικ σου ανωτέρω",
        "δείξε δείξτε αποκάλυψ εμφάνισ πες τύπωσ γράψε επανάλαβ εκτύπωσ φανέρωσ",
        "προτροπή_συστήματος προτροπή_του_συστήματος μήνυμα_συστήματος μήνυμα_του_συστήματος οδηγίες_σου "
        "οδηγίες_συστήματος",
        "σου_έχουν_πει σου_είπαν όλα_τα_παραπάνω",
    ),
    Language(
        "Russian",
        "игнорир проигнорир забудь забыть забудьте пренебре отбрось отбросьте отмени не_обращай не_обращайте не_следуй "
        "обойди не_учитывай не_учитывайте наруш упусти",
        "инструкци указани правил команд промпт директив предписани распоряжени установк ограничени приказ задани",
        "предыдущ прежн все_ всё_ всех выше ранн прошл твои твоих ваши ваших системн предшеств данные_тебе начальн "
        "изначальн ранее",
        "покажи покажите выведи выведите раскрой раскройте напиши сообщи повтори распечатай назови выдай",
        "системный_промпт системного_промпта системный_запрос системное_сообщение системную_подсказку "
        "системные_инструкции свои_инструкции твои_инструкции системную_инструкцию",
        "что_тебе что_вам было_сказано всё_выше все_что_выше все_сказанное вышесказанн всё,_что тебе_говорили "
        "вам_говорили вам_сказали тебе_сказали",
    ),
    Language(
        "Ukrainian",
        "ігнору проігнору забудь забудьте знехтуй знехтуйте відкинь не_зважай нехтуй",
        "інструкці вказівк правил команд промпт директив настанов наказ",
        "попередн усі_ всі_ усіх вище раніш свої твої ваші минул",
        "покажи покажіть виведи розкрий напиши повтори надрукуй виведіть",
        "системний_промпт системного_промпту системний_запит системне_повідомлення свої_інструкції",
        "що_тобі що_вам було_сказано усе_вище",
    ),
    Language(
        "Turkish",
        "yok_say yoksay görmezden_gel unut dikkate_alma boşver göz_ardı gözardı önemseme ihmal_et es_geç geçersiz "
        "uyma bağımsız",
        "talimat yönerge komut kural istem direktif emir prompt",
        "önceki tüm bütün yukarıdaki daha_önce geçmiş sana_verilen size_verilen eski verilen",
        "göster açıkla yazdır ver_ ifşa söyle paylaş tekrarla yaz_ dök",
        "sistem_istemi sistem_istemini sistem_promptu sistem_mesajı sistem_komut sistem_talimat talimatların",
        "sana_söylenen size_söylenen söylenenleri yukarıdakileri söylenen_her öğretilen",
    ),
    Language(
        "Indonesian and Malay",
        "abaikan lupakan kesampingkan mengabaikan lewatkan langgar hiraukan",
        "instruksi perintah arahan petunjuk aturan pedoman prompt panduan",
        "sebelumnya semua seluruh di_atas terdahulu anda kamu segala awal",
        "tampilkan tunjukkan ungkapkan cetak beri_tahu beritahu tuliskan ulangi bocorkan keluarkan dedahkan paparkan",
        "prompt_sistem perintah_sistem pesan_sistem instruksi_sistem instruksi_anda instruksimu arahan_sistem",
        "yang_telah_diberitahu yang_diberitahukan semua_di_atas yang_sudah_diberi apa_yang_diberitahu yang_telah_di",
    ),
    Language(
        "Filipino",
        "kalimutan huwag_pansinin balewalain ignorahin isantabi huwag_sundin huwag_mong wag_pansinin kaligtaan "
        "ipagwalang",
        "tagubilin panuto utos instruksyon patakaran alituntunin direktiba mga_bilin prompt",
        "nauna naunang dati lahat itaas nakaraan iyong inyong",
        "ipakita ilahad sabihin ibunyag i-print ulitin isulat ilabas",
        "system_prompt prompt_ng_sistema iyong_mga_tagubilin",
        "sinabi_sa_iyo sinabi_sa_inyo lahat_ng_nasa_itaas itinuro_sa_iyo sinabi iniutos",
    ),
    Language(
        "Vietnamese",
        "bỏ_qua quên phớt_lờ lờ_đi đừng_quan_tâm không_tuân đừng_tuân mặc_kệ gạt_bỏ bất_chấp",
        "hướng_dẫn chỉ_dẫn chỉ_thị lệnh quy_tắc mệnh_lệnh prompt quy_định lời_nhắc",
        "trước tất_cả ở_trên bên_trên mọi của_bạn toàn_bộ",
        "hiển_thị tiết_lộ in_ra cho_tôi cho_biết đưa_ra viết_lại lặp_lại xuất",
        "lời_nhắc_hệ_thống prompt_hệ_thống nhắc_hệ_thống thông_báo_hệ_thống chỉ_thị_hệ_thống lệnh_hệ_thống",
        "được_bảo đã_được_hướng đã_được_nói được_dạy đã_nói được_chỉ được_yêu_cầu được_hướng",
    ),
    Language(
        "Chinese",
        "忽略 无视 無視 忘记 忘記 忘掉 不理会 不要理会 抛开 忽視 忽视 不要遵守 不要遵循 不遵守 跳过 撤销 不用管 别管 "
        "丢弃 摒弃 绕过 覆盖 不必理会 不要管 撇开 违背",
        "指令 指示 说明 說明 提示 规则 規則 命令 设定 設定 限制 指引 规定 规范 教导 要求 约束",
        "之前 以前 先前 上面 上述 以上 前面 此前 所有 你的 您的 全部 一切 系统 系統 任何 早前 原有 原来 给你",
        "输出 輸出 显示 顯示 告诉 告訴 透露 打印 列印 泄露 洩露 重复 展示 说出 公开 复述 揭示 给出 给我",
        "系统提示 系統提示 系统指令 系統指令 系统消息 你的指令 你的提示 初始提示 隐藏提示 原始指令 初始指令",
        "告诉你的 被告知 你被教 被告诉 给你的 告訴你 以上内容 上面的内容 以上所有 之前的内容 之前的所有",
        spaced=False,
    ),
    Language(
        "Japanese",
        "無視 忘れ 破棄 従わな 従うな 上書き 忘却 無効 取り消",
        "指示 命令 プロンプト 指令 ルール 制約 設定 規則 制限 ガイドライン 説明",
        "以前 これまで 前の 上記 すべて 全て 全部 あなた 先ほど 今まで 過去 システム 上の 従来 以上 先の 事前",
        "表示 出力 教えて 開示 見せ 明かし 公開 暴露 書き出 繰り返",
        "システムプロンプト システムメッセージ システム指示 あなたの指示 隠しプロンプト 初期プロンプト 初期指示",
        "言われたこと 教えられた 言われた 指示されたこと 上記の内容 上記すべて",
        spaced=False,
    ),
    Language(
        "Korean",
        "무시 잊어 잊으 잊고 따르지 폐기 간과 취소",
        "지시 지침 명령 프롬프트 규칙 설정 안내 제한",
        "이전 앞의 앞서 위의 모든 기존 지금까지 당신의 너의 네_ 시스템 이전에 위에",
        "표시 출력 보여 공개 알려 말해 노출 드러내",
        "시스템_프롬프트 시스템프롬프트 시스템_메시지 시스템_지시 당신의_지시 시스템_지침",
        "들은_모든 말한_모든 들었던 지시받은 위의_모든 배운",
        spaced=False,
    ),
    Language(
        "Arabic",
        "تجاهل تجاهلي تجاهلوا انس_ إنس_ انسَ انسى أنس تغاض اهمل أهمل تخط تجاوز تخل_عن لا_تتبع لا_تلتزم",
        "تعليمات أوامر اوامر توجيهات إرشادات ارشادات قواعد الأوامر الاوامر القواعد تعليماتك التوجيه القيود",
        "السابق سابق أعلاه اعلاه جميع كل كافة من_قبل قبل الأصلي قبلها",
        "اعرض أظهر اظهر اكشف اطبع أخبر اخبر أعطني كرر اكتب قل_لي",
        "موجه_النظام مطالبة_النظام رسالة_النظام تعليمات_النظام تعليماتك برومبت موجّه_النظام نص_النظام",
        "ما_قيل_لك ما_أخبر ما_طلب ما_تعلمت ما_ورد ما_سبق قيل_لك",
        spaced=False,
    ),
    Language(
        "Hebrew",
        "התעלם התעלמי התעלמו תתעלם שכח_ תשכח שכחו שכחי להתעלם אל_תציית עקוף",
        "הוראות ההוראות הנחיות ההנחיות כללים הכללים פקודות הפקודות הוראה הנחיה",
        'הקודמ קודמ כל_ לעיל שלך שקיבלת הנ"ל מעלה שניתנו',
        "הצג הראה חשוף גלה הדפס תגלה ספר תן_לי כתוב חזור",
        "הנחיית_המערכת הודעת_המערכת פרומפט הוראות_המערכת ההוראות_שלך הנחיות_המערכת",
        "שנאמר_לך מה_שאמרו שלמדת שלעיל האמור_לעיל",
        spaced=False,
    ),
    Language(
        "Persian",
        "نادیده فراموش بی‌توجه بی_توجه توجه_نکن صرف_نظر صرف‌نظر اهمیت_نده نقض لغو",
        "دستور دستورات دستورالعمل قوانین فرمان راهنما فرامین قواعد پرامپت",
        "قبلی پیشین همه تمام بالا قبل پیش سابق خود",
        "نشان نمایش آشکار فاش چاپ بگو بنویس افشا",
        "پرامپت_سیستم پیام_سیستم دستور_سیستم اعلان_سیستم درخواست_سیستم پرامپت",
        "گفته_شده گفته_اند هرچه_بالا به_شما_گفته یاد_گرفته",
    ),
    Language(
        "Hindi",
        "अनदेखा अनदेखी नजरअंदाज नज़रअंदाज नज़रअंदाज नजरंदाज भूल उपेक्षा अवहेलना दरकिनार ध्यान_न छोड़",
        "निर्देश आदेश नियम प्रॉम्प्ट हिदायत अनुदेश दिशानिर्देश",
        "पिछले पिछली सभी पहले उपरोक्त आपके अपने सारे सब_ ऊपर पूर्व तमाम",
        "दिखा बता प्रकट प्रदर्शित छाप उजागर लिख दोहरा",
        "सिस्टम_प्रॉम्प्ट सिस्टम_संदेश सिस्टम_निर्देश अपने_निर्देश प्रणाली_संकेत",
        "बताया_गया कहा_गया बताई_गई सिखाया_गया कही_गई दिए_गए बताया_है",
    ),
    Language(
        "Urdu",
        "نظرانداز نظر_انداز بھول",
        "ہدایات احکامات قواعد حکم پرامپٹ",
        "پچھلی پچھلے تمام سابقہ پہلے سبھی اوپر اپنی",
        "دکھا بتا ظاہر",
        "سسٹم_پرامپٹ",
        "بتایا_گیا کہا_گیا",
    ),
    Language(
        "Bengali",
        "উপেক্ষা ভুলে ভুলুন অগ্রাহ্য অবহেলা এড়িয়ে ভুলে_যান",
        "নির্দেশ আদেশ নিয়ম নিয়ম প্রম্পট নির্দেশাবলী হুকুম",
        "আগের পূর্ববর্তী সব সমস্ত আপনার পূর্বের সকল তোমার উপরের",
        "দেখা প্রকাশ বলুন প্রদর্শন মুদ্রণ জানা লিখ",
        "সিস্টেম_প্রম্পট সিস্টেম_বার্তা সিস্টেম_নির্দেশ",
        "বলা_হয়েছে বলা_হয়েছে শেখানো দেওয়া_হয়েছে দেওয়া_হয়েছে",
    ),
    Language(
        "Thai",
        "ละเว้น เพิกเฉย ลืม อย่าไปสนใจ ไม่ต้องสนใจ ไม่สนใจ มองข้าม เมินเฉย ไม่ต้องทำตาม ละเลย ยกเลิก อย่าสนใจ",
        "คำสั่ง คำแนะนำ คําสั่ง คําแนะนํา คำแนะนํา คําแนะนำ คำชี้แนะ กฎ ข้อกำหนด พรอมต์ พรอมพ์ แนวทาง ข้อจำกัด",
        "ก่อนหน้า ทั้งหมด ข้างต้น ของคุณ เดิม ที่ผ่านมา ด้านบน ทุก ก่อน",
        "แสดง เปิดเผย บอก พิมพ์ ส่ง เผย",
        "พรอมต์ระบบ พรอมต์ของระบบ ข้อความระบบ คำสั่งระบบ พรอมพ์ระบบ คำสั่งของระบบ ระบบพรอมต์ คําสั่งระบบ",
        "ที่ได้รับการบอก ที่คุณได้รับ ที่บอก ที่คุณถูก ที่เคยบอก",
        spaced=False,
    ),
)

# Single words that weigh beside others, in many languages at once.
SECRETS: Final = (
    "clave_secreta contraseña mot_de_passe clé_secrète clef_secrète passwort kennwort geheimer_schlüssel "
    "geheimschlüssel geheimen_schlüssel kontostand chiave_segreta saldo_bancario saldo_bancari chave_secreta senha "
    "solde_bancaire секретный_ключ пароль парол баланс гизли gizli_anahtar şifre parola kunci_rahasia kata_sandi "
    "saldo_bank lihim_na susi password secret_key balanse khóa_bí_mật chìa_khóa_bí mật_khẩu số_dư 密码 密碼 密钥 "
    "秘密钥 余额 秘密の パスワード 秘密鍵 残高 비밀번호 비밀_키 비밀_열쇠 비밀키 잔액 잔고 مفتاحك_السري المفتاح_السري "
    "كلمة_المرور كلمة_السر رصيد गुप्त_कुंजी पासवर्ड शेष গোপন_চাবি পাসওয়ার্ড পাসওয়ার্ড ব্যালেন্স গোপন_কী กุญแจลับ "
    "รหัสลับ รหัสผ่าน คีย์ลับ ยอดเงิน ยอดคงเหลือ wachtwoord hasło lösenord heslo jelszó parola κωδικό סיסמה رمز_عبور"
)
MODES: Final = "режим モード 모드 模式 وضع מצב मोड মোড โหมด chế_độ modus modo modalità tryb läge tila režim modu"
MAKERS: Final = (
    "desarrollador développeur entwickler sviluppator desenvolvedor pengembang geliştirici разработчик 开发者 开发人员 "
    "開発者 개발자 مطور डेवलपर ডেভেলপার বিকাশকারী นักพัฒนา lập_trình_viên nhà_phát_triển creador créateur schöpfer creatore "
    "criador pencipta создател 创造者 創造者 창조자 창작자 خالق منشئ निर्माता সৃষ্টিকর্তা ผู้สร้าง người_tạo yaratıc lumikha "
    "tagalikha 作成者 製作者 제작자 ontwikkelaar programist विकासकर्ता ผู้พัฒนา"
)
